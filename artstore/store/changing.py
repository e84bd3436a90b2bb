"""How a version says in its `source` that files changed while they were read, and what was done about it."""

from __future__ import annotations

import json
from itertools import accumulate
from typing import TYPE_CHECKING

from artstore import limits
from artstore.model import Metadata
from artstore.store.edit import parts_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from artstore.model import Scalar
    from artstore.store.commit import Addition


def changed_paths(walked: Sequence[bytes], additions: Sequence[Addition] | None) -> tuple[bytes, ...]:
    """Where in the version the walked paths lie; what is added to a version is walked under its number."""
    if additions is None:
        return tuple(walked)
    parts = (path.partition(b"/") for path in walked)
    return tuple(
        b"/".join([*parts_of(additions[int(number)].path), *([rest] if rest else [])]) for number, _, rest in parts
    )


def with_paths(metadata: Metadata, keys: tuple[str, str], paths: Sequence[bytes], count: int) -> Metadata:
    """The same, and in `source`, under these keys, that it was so with `count` paths within the version, and which.

    The paths are a JSON list in one text, with `\\xNN` for each byte that is not UTF-8, as many as fit.
    """
    named = [json.dumps(path.decode("utf-8", "backslashreplace"), ensure_ascii=False) for path in paths]
    ends = accumulate(len(each.encode()) + len(", ") for each in named)  # the last comma makes room for the brackets
    fitting = [each for each, end in zip(named, ends, strict=True) if end <= limits.METADATA_VALUE_BYTES_MAX]
    told: dict[str, Scalar] = {keys[0]: count, keys[1]: f"[{', '.join(fitting)}]"}
    return Metadata(
        params=metadata.params,
        metrics=metadata.metrics,
        inputs=metadata.inputs,
        source=dict(sorted({**metadata.source, **told}.items())),
        environment=metadata.environment,
        labels=metadata.labels,
    )
