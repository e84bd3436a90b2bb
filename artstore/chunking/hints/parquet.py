"""Parquet: row groups, whose places stand in a footer at the end of the file.

    0  4  "PAR1"      …      size - 8 - N  N  FileMetaData, Thrift compact      size - 8  4  N      size - 4  4  "PAR1"

FileMetaData.row_groups (4) -> RowGroup.columns (1) -> ColumnChunk.meta_data (3) -> data_page_offset (9),
dictionary_page_offset (11). A row group begins with the first page of its first column; RowGroup.file_offset is not
used, since writers got it wrong. Source: github.com/apache/parquet-format, parquet.thrift.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from artstore.chunking.hints.headers import Unreadable
from artstore.chunking.hints.thrift import I64, LIST, STRUCT, Compact

if TYPE_CHECKING:
    from artstore.chunking.hints.headers import Headers, Starts

MAGIC: Final = b"PAR1"
_ROW_GROUPS: Final = 4
_COLUMNS: Final = 1
_META_DATA: Final = 3
_PAGE_OFFSETS: Final = (9, 11)


def find(headers: Headers, starts: Starts) -> None:
    """Adds where each row group begins."""
    tail = headers.read(headers.size - 8, 8)
    if tail[4:] != MAGIC:
        return
    length = int.from_bytes(tail[:4], "little")
    footer = Compact(headers, headers.read(headers.size - 8 - length, length))
    for field, kind in footer.fields():
        if (field, kind) != (_ROW_GROUPS, LIST):
            footer.skip(kind)
            continue
        for _ in range(_structures(footer)):
            _add_row_group(footer, starts)
        return


def _add_row_group(footer: Compact, starts: Starts) -> None:
    begins = 0
    for field, kind in footer.fields():
        if (field, kind) != (_COLUMNS, LIST):
            footer.skip(kind)
            continue
        for column in range(_structures(footer)):
            if column == 0:
                begins = _begin_of_column(footer)
            else:
                footer.skip(STRUCT)
    if begins:
        starts.add(begins)


def _structures(footer: Compact) -> int:
    """How many structures the list has that begins here."""
    kind, count = footer.items()
    if kind != STRUCT:
        raise Unreadable
    return count


def _begin_of_column(footer: Compact) -> int:
    """The offset of its first page, the dictionary's or the data's; 0 if none is stated."""
    begins = 0
    for field, kind in footer.fields():
        if (field, kind) != (_META_DATA, STRUCT):
            footer.skip(kind)
            continue
        for inner, inner_kind in footer.fields():
            if inner in _PAGE_OFFSETS and inner_kind == I64:
                offset = footer.integer()
                begins = min(offset, begins) if begins and offset > 0 else max(offset, begins)
            else:
                footer.skip(inner_kind)
    return begins
