"""The OpenAPI 3.1 document, from the table of routes and the types of what is told. Pure."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from artstore import __version__
from artstore_daemon.api.documents import HappeningItem, Problem
from artstore_daemon.api.errors import PROBLEM
from artstore_daemon.api.routes import ROUTES, Query, Route

_REF: Final = "#/components/schemas/{name}"
_ABOUT: Final = (
    "Over TCP a token is asked for, and whatever changes anything has the content type application/json, also where it "
    "has no body. Over the unix socket bodies alone need that."
)


def document() -> dict[str, Any]:
    """As JSON holds it. Any: JSON."""
    types = {route.answer for route in ROUTES} | {route.body for route in ROUTES} | {HappeningItem, Problem}
    kinds = sorted((kind for kind in types if kind is not None), key=lambda kind: kind.__name__)
    _, schemas = msgspec.json.schema_components(kinds, ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "artstore daemon",
            "version": __version__,
            "license": {"name": "Apache-2.0"},
            "description": _ABOUT,
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        # Over the unix socket nobody is asked.
        "security": [{}, {"token": []}],
    }


def _operation(route: Route) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in route.parameters
    ]
    said: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.about,
        "parameters": [*parameters, *map(_parameter, route.query)],
        "responses": {
            str(route.status): _answer(route),
            "default": {"description": "It went wrong.", "content": {PROBLEM: {"schema": _schema(Problem)}}},
        },
    }
    if route.body is not None:
        said["requestBody"] = {"required": True, "content": {"application/json": {"schema": _schema(route.body)}}}
    return said


def _answer(route: Route) -> dict[str, Any]:
    if route.status == 204:
        return {"description": "It is done."}
    schema = _schema(route.answer) if route.answer is not None else {}
    return {"description": route.about, "content": {route.kind.partition(";")[0]: {"schema": schema}}}


def _parameter(query: Query) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if query.least is not None:
        schema = {"type": "integer", "minimum": query.least, "maximum": query.most, "default": query.default}
    return {"name": query.name, "in": "query", "required": False, "description": query.about, "schema": schema}


def _schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {"$ref": _REF.format(name=kind.__name__)}
