"""jsonl, gzip or not: one JSON object a line, read line by line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..errors import InvalidArgument
from ..results import Ids, Payload
from .arrays import as_stored
from .columns import PAYLOAD, Columns, check_ids, choose_id, choose_vector
from .dataset import Batch, Dataset, no_vectors, row_numbers
from .refusal import bad_file, check_shape, reading
from .streams import open_stream

LINE_BYTES = limits.MESSAGE_BYTES // 4
Record = dict[str, Any]


def load_jsonl(path: Path, columns: Columns) -> Dataset:
    """The first line decides which column is what, and how many dimensions there are."""
    source = plan_lines(path, columns, with_vectors=True)
    return Dataset(
        path=path,
        format="jsonl",
        dim=source.dim,
        count=None,
        dtype="float32",
        source=source,
        notes=source.notes,
    )


def plan_lines(path: Path, columns: Columns, *, with_vectors: bool) -> JsonlRows:
    """How to read the file, by its first line; without vectors they are [n, 0]."""
    number, first = next(iter(read_records(path)), (0, None))
    if first is None:
        raise bad_file(path, "expected at least one JSON object, found no line")
    vector, dim = "", 0
    if with_vectors:
        vector = choose_vector(path, columns.vector, [k for k, v in first.items() if _is_vector(v)])
        dim = len(first[vector])
        check_shape(path, 1, dim)
    id_column = choose_id(path, columns.id, list(first))
    kind = int if id_column is None else type(first[id_column])
    if kind not in (int, str):
        raise bad_file(
            path,
            f"line {number}: expected text or a whole number as id in {id_column!r}, found "
            f"{_describe(first[id_column or ''])}",
            hint="Name another with id_column=, or pass id_column='' for row numbers",
        )
    rest = [name for name in first if name not in (vector, id_column)]
    nested = columns.payload is None and rest == [PAYLOAD]
    nested = nested and isinstance(first[PAYLOAD], dict | None)
    absent = [name for name in columns.payload or () if name not in first]
    return JsonlRows(
        path=path,
        vector=vector,
        dim=dim,
        id=id_column,
        id_kind=kind,
        payload=columns.payload,
        nested=nested,
        notes=tuple(f"its first line has no {name!r} for the payload" for name in absent),
    )


def read_records(path: Path, start: int = 0) -> Iterator[tuple[int, Record]]:
    """Line numbers, from 1, and objects, from row ``start`` on."""
    numbered = read_lines(path)
    skipped = sum(1 for _ in islice(numbered, start))
    if skipped < start:
        raise InvalidArgument(
            f"start must be at most {skipped}, the rows of {path}; got {start}", field="start"
        )
    for number, line in numbered:
        yield number, _parse(path, number, line)


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Line numbers and lines; empty lines are no rows."""
    with reading(path), open_stream(path) as stream:
        number = 0
        while line := stream.readline(LINE_BYTES + 1):
            number += 1
            if len(line) > LINE_BYTES:
                raise bad_file(
                    path,
                    f"line {number}: expected at most {LINE_BYTES} bytes, found more",
                    hint="Is it one JSON object a line?",
                )
            if not line.isspace():
                yield number, line


def count_lines(path: Path) -> int:
    """Rows of the file, without parsing them."""
    return sum(1 for _ in read_lines(path))


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonlRows:
    """``payload``: its columns, None for all that are left; ``nested``: the one left is it."""

    path: Path
    vector: str
    dim: int
    id: str | None
    id_kind: type
    payload: tuple[str, ...] | None
    nested: bool
    notes: tuple[str, ...]

    def read(self, rows: int, start: int) -> Iterator[Batch]:
        records = read_records(self.path, start)
        while part := list(islice(records, rows)):
            numbers = [number for number, _ in part]
            values = [record for _, record in part]
            vectors = self._vectors(numbers, values) if self.vector else no_vectors(len(part))
            ids = self._ids(numbers, values) if self.id else row_numbers(start, len(part))
            yield Batch(ids=ids, vectors=vectors, payloads=self._payloads(numbers, values))
            start += len(part)

    def _vectors(self, numbers: list[int], records: list[Record]) -> NDArray[Any]:
        lists: list[Any] = [record.get(self.vector) for record in records]
        for number, vector in zip(numbers, lists, strict=True):
            if not _is_vector(vector) or len(vector) != self.dim:
                found = f"{len(vector)}" if _is_vector(vector) else _describe(vector)
                raise bad_file(
                    self.path,
                    f"line {number}: expected {self.dim} numbers in {self.vector!r}, found {found}",
                )
        try:
            with np.errstate(over="ignore"):
                return as_stored(np.array(lists, np.float64), "float32")
        except OverflowError:
            raise bad_file(
                self.path,
                f"lines {numbers[0]} to {numbers[-1]}: a number in {self.vector!r} is too large",
            ) from None

    def _ids(self, numbers: list[int], records: list[Record]) -> Ids:
        values = [record.get(self.id or "") for record in records]
        return check_ids(self.path, values, self.id_kind, lambda at: f"line {numbers[at]}")

    def _payloads(self, numbers: list[int], records: list[Record]) -> list[Payload | None] | None:
        payloads: list[Payload | None]
        if self.nested:
            payloads = [record.get(PAYLOAD) for record in records]
            for number, payload in zip(numbers, payloads, strict=True):
                if not isinstance(payload, dict | None):
                    raise bad_file(
                        self.path,
                        f"line {number}: expected an object in {PAYLOAD!r}, found "
                        f"{_describe(payload)}",
                    )
        elif self.payload is None:
            own = (self.vector, self.id)
            payloads = [
                {name: value for name, value in record.items() if name not in own}
                for record in records
            ]
        else:
            payloads = [
                {name: record[name] for name in self.payload if name in record}
                for record in records
            ]
        return payloads if any(payloads) else None


def _is_vector(value: object) -> bool:
    """Numbers only: of true, text or null numpy would make numbers too."""
    return isinstance(value, list) and bool(value) and set(map(type, value)) <= {int, float}


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _parse(path: Path, number: int, line: bytes) -> Record:
    try:
        value = _DECODER.decode(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except (ValueError, RecursionError) as error:
        raise bad_file(
            path,
            f"line {number}: expected one JSON object, found what is not JSON ({_reason(error)})",
            hint="Write one object a line, in UTF-8",
        ) from error
    if not isinstance(value, dict):
        raise bad_file(
            path,
            f"line {number}: expected one JSON object, found {_describe(value)}",
            hint='Write one object a line, such as {"id": 1, "vector": [0.5, 0.25]}',
        )
    return value


def _reason(error: Exception) -> str:
    """Without a word of the content."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos + 1}"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _describe(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return "null" if value is None else names.get(type(value), "a number")
