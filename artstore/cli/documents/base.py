"""What all documents have in common: their base, and the fields that many of them have."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Scalar = str | int | float | bool | None

Id = Annotated[str, Meta(description="Version id.")]
Bytes = Annotated[int, Meta(description="Bytes of all files.")]
Files = Annotated[int, Meta(description="Files and symbolic links.")]
Seconds = Annotated[float, Meta(description="How long it took.")]
Path = Annotated[str, Meta(description="Path in the version; a byte that is not UTF-8 is written \\xNN.")]
RawPath = Annotated[str | None, Meta(description="Base64 of the path's bytes when they are not UTF-8, else null.")]
Time = Annotated[str, Meta(description="When.")]


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all of them."""
