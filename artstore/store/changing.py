"""How a version says that files changed while they were read and were taken all the same: in its `source`."""

from __future__ import annotations

import json
from itertools import accumulate
from typing import TYPE_CHECKING

from artstore import limits
from artstore.model import CHANGED_PATHS, CHANGED_WHILE_READ, Metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from artstore.model import Scalar


def with_changed(metadata: Metadata, paths: Sequence[bytes], count: int) -> Metadata:
    """The same, and in `source` that `count` paths within the version changed while they were read, these among them.

    The paths are a JSON list in one text, with `\\xNN` for each byte that is not UTF-8, as many as fit.
    """
    named = [json.dumps(path.decode("utf-8", "backslashreplace"), ensure_ascii=False) for path in paths]
    ends = accumulate(len(each.encode()) + len(", ") for each in named)  # the last comma makes room for the brackets
    fitting = [each for each, end in zip(named, ends, strict=True) if end <= limits.METADATA_VALUE_BYTES_MAX]
    told: dict[str, Scalar] = {CHANGED_WHILE_READ: count, CHANGED_PATHS: f"[{', '.join(fitting)}]"}
    return Metadata(
        params=metadata.params,
        metrics=metadata.metrics,
        inputs=metadata.inputs,
        source=dict(sorted({**metadata.source, **told}.items())),
        environment=metadata.environment,
        labels=metadata.labels,
    )
