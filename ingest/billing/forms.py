"""Lines of the feed as octets: a page of JSON, and streams of CSV, Parquet and Arrow in bounded memory. Pure.

Parquet and Arrow need pyarrow (the extra `bulk`), which is loaded when the first of them is asked for.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from importlib import import_module
from importlib.util import find_spec
from json.encoder import encode_basestring
from typing import Any

from ingest.billing.columns import Column, Content, Type
from ingest.store.feed import Entry, Page, Row
from metering.errors import MeteringError

ROW_GROUP = 100_000
"""Lines of a row group of Parquet: some ten megabytes."""
DIGITS, SCALE = 27, 9
CSV, PARQUET, ARROW = "csv", "parquet", "arrow"
MEDIA_TYPES = {
    CSV: "text/csv; charset=utf-8",
    PARQUET: "application/vnd.apache.parquet",
    ARROW: "application/vnd.apache.arrow.stream",
}

Part = tuple[Entry, Sequence[Row]]


class FormMissing(MeteringError):
    """A form needs a library that is not installed."""


def require_form(form: str) -> None:
    """Raise FormMissing unless `form` can be made here."""
    if form != CSV and find_spec("pyarrow") is None:
        raise FormMissing(f"{form} needs pyarrow, which is not installed at this centre")


def instant(moment: datetime) -> str:
    """Write an instant (UTC)."""
    return moment.isoformat().replace("+00:00", "Z")


def page_json(page: Page, columns: Sequence[Column]) -> bytes:
    """Give a page of lines as JSON.

    Not by the framework, which would look at each field of each line. What a publication has in common is written once.
    """
    parts = [text for entry, rows in page.parts for text in _objects(entry, rows, columns)]
    end = json.dumps({"cursor": str(page.cursor), "more": page.more}, separators=(",", ":"))
    return f'{{"lines":[{",".join(parts)}],{end[1:]}'.encode()


def _objects(entry: Entry, rows: Sequence[Row], columns: Sequence[Column]) -> Iterator[str]:
    """Write each line as an object; its fields stand in the order of the columns of lines, then of publications."""
    fixed = [(one.name, _plain(one.of_entry(entry))) for one in columns if one.of_entry is not None]
    tail = json.dumps(dict(fixed), ensure_ascii=False, separators=(",", ":"))[1:]
    written = [(f'"{one.name}":', one.of_line, _WRITERS[one.type]) for one in columns if one.of_line is not None]
    joint = "," if written and fixed else ""
    for row in rows:
        fields = [
            head + ("null" if (content := of(entry, row)) is None else write(content)) for head, of, write in written
        ]
        yield "{" + ",".join(fields) + joint + tail


def _plain(content: Content) -> Any:
    return instant(content) if isinstance(content, datetime) else content


_WRITERS: dict[Type, Callable[[Any], str]] = {
    Type.TEXT: encode_basestring,
    Type.WHOLE: str,
    Type.DECIMAL: lambda number: f'"{number:f}"',
    Type.INSTANT: lambda moment: f'"{instant(moment)}"',
}


def stream(form: str, parts: Iterable[Part], columns: Sequence[Column]) -> Iterator[bytes]:
    """Give lines in a form, piece by piece, as they come."""
    return {CSV: _csv, PARQUET: _parquet, ARROW: _arrow}[form](parts, columns)


def _csv(parts: Iterable[Part], columns: Sequence[Column]) -> Iterator[bytes]:
    """RFC 4180 in UTF-8, for programs: instants in UTC, decimals exact, nothing in place of null."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([one.name for one in columns])
    for entry, rows in parts:
        fixed = [None if one.of_entry is None else _cell(one.of_entry(entry)) for one in columns]
        of_line = [(place, one.of_line) for place, one in enumerate(columns) if one.of_line is not None]
        for row in rows:
            cells = fixed.copy()
            for place, of in of_line:
                cells[place] = _cell(of(entry, row))
            writer.writerow(cells)
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    yield text.getvalue().encode()


def _cell(content: Content) -> Any:
    if isinstance(content, datetime):
        return instant(content)
    return f"{content:f}" if content is not None and not isinstance(content, str | int) else content


class _Sink(io.RawIOBase):
    """Takes what a writer gives, to be sent on."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        """Say so."""
        return True

    def write(self, octets: Any) -> int:
        """Take a piece."""
        self._pieces.append(bytes(octets))
        return len(self._pieces[-1])

    def taken(self) -> bytes:
        """Give what has come since the last time."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def _loaded(library: str) -> Any:
    return import_module(library)


def _schema(columns: Sequence[Column]) -> Any:
    pa = _loaded("pyarrow")
    types = {
        Type.TEXT: pa.string(),
        Type.WHOLE: pa.int64(),
        Type.DECIMAL: pa.decimal128(DIGITS, SCALE),
        Type.INSTANT: pa.timestamp("us", tz="UTC"),
    }
    return pa.schema([(one.name, types[one.type]) for one in columns])


def _batch(part: Part, columns: Sequence[Column], schema: Any) -> Any:
    pa = _loaded("pyarrow")
    entry, rows = part
    made = []
    for one, field in zip(columns, schema, strict=True):
        if one.of_entry is not None:
            scalar = pa.scalar(one.of_entry(entry), type=field.type)
            made.append(pa.repeat(scalar, len(rows)))
        else:
            made.append(pa.array([one.of(entry, row) for row in rows], type=field.type))
    return pa.RecordBatch.from_arrays(made, schema=schema)


def _arrow(parts: Iterable[Part], columns: Sequence[Column]) -> Iterator[bytes]:
    """An Arrow IPC stream, a batch for each part."""
    pa = _loaded("pyarrow")
    sink, schema = _Sink(), _schema(columns)
    with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), schema) as writer:
        for part in parts:
            writer.write_batch(_batch(part, columns, schema))
            yield sink.taken()
    yield sink.taken()


def _parquet(parts: Iterable[Part], columns: Sequence[Column]) -> Iterator[bytes]:
    """A Parquet file, compressed with zstd, in row groups of bounded size."""
    pa, pq = _loaded("pyarrow"), _loaded("pyarrow.parquet")
    sink, schema = _Sink(), _schema(columns)
    with pq.ParquetWriter(pa.PythonFile(sink, mode="w"), schema, compression="zstd") as writer:
        waiting, count = [], 0
        for part in parts:
            waiting.append(_batch(part, columns, schema))
            count += len(part[1])
            if count >= ROW_GROUP:
                writer.write_table(pa.Table.from_batches(waiting, schema), row_group_size=ROW_GROUP)
                waiting, count = [], 0
                yield sink.taken()
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting, schema), row_group_size=ROW_GROUP)
    yield sink.taken()
