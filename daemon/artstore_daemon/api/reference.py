"""docs/api.md, written from the table of routes, that of errors, and the types of what is told. Pure but for `write`.

`python -m artstore_daemon.api.reference` in the project's folder writes it; a test holds it to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

from artstore import limits
from artstore_daemon.api import openapi
from artstore_daemon.api.errors import STATUSES
from artstore_daemon.api.routes import ROUTES, Query, Route
from artstore_daemon.api.security import REFUSALS

REFERENCE: Final = "docs/api.md"
_DOCUMENTS: Final = "#/components/schemas/"
_BOUNDS: Final = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to"}
_HEAD: Final = f"""\
# The daemon's HTTP API

Written from the tables of `artstore_daemon.api` by `python -m artstore_daemon.api.reference`; a test holds it to them.
`GET /openapi.json` is the same for programs. How the daemon is run is told in [daemon.md](daemon.md).

**Where.** On a unix socket, which its owner alone can open; `artstore daemon status --json` names it. With
`artstore daemon start --tcp` also on a port of 127.0.0.1, which the `.port` file beside the socket holds.

```console
$ curl --unix-socket $XDG_RUNTIME_DIR/artstore/*.sock http://localhost/v1/status
$ curl -H "Authorization: Bearer $(cat ~/.local/state/artstore/daemon-*.token)" http://127.0.0.1:$PORT/v1/status
```

**Over TCP** each request needs the token, but for `/healthz`: 32 random bytes in a file that its owner alone can read,
made once; a file that others can read is refused. `Host` has to be 127.0.0.1, localhost or [::1] with the port; an
`Origin`, or a `Sec-Fetch-Site` other than `none` and `same-origin`, is refused; and whatever changes anything has the
content type `application/json`, also without a body. So no page in a browser gets through, whatever name leads it here.

**Bounds.** A body has at most {limits.API_BODY_BYTES_MAX:,} bytes. Parameters and fields that aren't known are refused.
In paths ARTIFACT, ALIAS and REV are as on the command line, slashes and all.

**Words.** Sizes are bytes, times seconds since 1970, ids hex. Fields are only ever added. Bytes of file names that
aren't UTF-8 are shown as `\\xe9`.

**Events** carry their number as `id`, their kind as `event`, and a [HappeningItem](#happeningitem) as `data`. Whoever
reconnects with `Last-Event-ID` gets what has happened since. The last {limits.DAEMON_HAPPENINGS_KEPT} are remembered,
and numbers begin anew with each daemon. A comment every {limits.API_EVENTS_S:g} s says that the stream is alive; it
ends with the daemon.

## Errors

They are `application/problem+json`, a [Problem](#problem), with artstore's own code, exit code and hint.

"""


def reference() -> str:
    """The whole of docs/api.md."""
    document = openapi.document()
    schemas: dict[str, dict[str, Any]] = document["components"]["schemas"]
    return "".join((_HEAD, *_errors(), "\n## Requests\n", *map(_route, ROUTES), "\n## Documents\n", *_schemas(schemas)))


def _errors() -> Iterator[str]:
    yield "| status | code | meaning |\n|---|---|---|\n"
    rows = [(str(status), kind.code, _caption(kind.__doc__)) for kind, status in STATUSES]
    rows += [(str(each.status), each.code, f"{each.why[0].upper()}{each.why[1:]}.") for each in REFUSALS]
    rows.append(("404, 405", "http", "There is no such path, or not with this method."))
    rows.append(("500", "bug", "A bug of artstore; its log says more."))
    yield from (f"| {status} | `{code}` | {meaning} |\n" for status, code, meaning in sorted(rows))


def _route(route: Route) -> str:
    path = route.path
    for name in route.parameters:
        path = path.replace(f"{{{name}}}", "REV" if name == "revision" else name.upper())
    told = f"Tells {route.status}" + (f": {_link(route.answer.__name__)}." if route.answer is not None else ".")
    if route.answer is None and route.status != 204:
        told = f"Tells {route.status}, as `{route.kind.partition(';')[0]}`."
    asked = "" if route.body is None else f"Takes {_link(route.body.__name__)}. "
    text = f"\n### {route.method} {path}\n\n{route.about} {asked}{told}\n"
    if not route.query:
        return text
    rows = [f"| `{query.name}` | {query.about}{_bounds(query)} |\n" for query in route.query]
    return "".join((text, "\n| parameter | |\n|---|---|\n", *rows))


def _bounds(query: Query) -> str:
    if query.least is None:
        return ""
    return f" From {query.least:,} to {query.most:,}; {query.default} unless given."


def _schemas(schemas: dict[str, dict[str, Any]]) -> Iterator[str]:
    for name in sorted(schemas):
        schema = schemas[name]
        required = cast("list[str]", schema.get("required", []))
        fields = cast("dict[str, dict[str, Any]]", schema["properties"])
        yield f"\n### {name}\n\n{schema['description']}\n\n| field | type | |\n|---|---|---|\n"
        for field, kind in fields.items():
            may = "" if field in required else "; may be left out"
            yield f"| `{field}` | {_type(kind)}{may} | {kind.get('description', '')} |\n"


def _type(schema: dict[str, Any]) -> str:
    # Any: JSON.
    if "$ref" in schema:
        return _link(str(schema["$ref"]).removeprefix(_DOCUMENTS))
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    match schema["type"]:
        case "array":
            return f"list of {_type(schema['items'])}"
        case "object":
            return f"object: text → {_type(schema['additionalProperties'])}"
        case kind:
            bounds = [f"{word} {schema[key]:,.0f}" for key, word in _BOUNDS.items() if key in schema]
            return " ".join([str(kind), *bounds])


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def _caption(text: str | None) -> str:
    return (text or "").strip().splitlines()[0]


def write(root: Path) -> None:
    """Write it below the project's folder."""
    (root / REFERENCE).write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    write(Path.cwd())
