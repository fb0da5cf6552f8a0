"""Records written to a file, page by page: jsonl, npy, parquet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from ..errors import PreconditionFailed

IDS_SUFFIX = ".ids.jsonl"


class Writer(Protocol):
    """Takes the pages of an export in order; ``finish`` once, after the last."""

    def write(self, page: Any) -> None: ...

    def finish(self) -> None: ...


def open_writer(format: str, stream: BinaryIO, info: Any, ids: BinaryIO | None) -> Writer:
    """``info``: the collection's description; ``ids``: where npy puts them, a JSON value a line."""
    if format == "jsonl":
        return JsonlWriter(stream)
    if format == "parquet":
        return ParquetWriter(stream, info)
    assert ids is not None, "npy has no place for ids"
    return NpyWriter(stream, ids, info)


class JsonlWriter:
    """``{"id": .., "vector": [..], "payload": {..}}`` a line: what ``import`` reads back.

    Numbers are written in full, so that every bit of a vector comes back. The payload is there in
    every line, null where there is none: the first line tells a reader how the file is made.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, page: Any) -> None:
        rows = zip(_ids(page), page.vectors.tolist(), page.payload_bytes, strict=True)
        self._stream.writelines(
            b'{"id": %b, "vector": %b, "payload": %b}\n'
            % (json.dumps(id).encode(), json.dumps(vector).encode(), payload or b"null")
            for id, vector, payload in rows
        )

    def finish(self) -> None:
        self._stream.flush()


class NpyWriter:
    """Vectors as one matrix in the collection's dtype; ids beside it, in the same order."""

    def __init__(self, stream: BinaryIO, ids: BinaryIO, info: Any) -> None:
        self._stream = stream
        self._ids = ids
        self._info = info
        self._count = 0
        self._write_header()

    def write(self, page: Any) -> None:
        self._stream.write(page.vectors.data)
        self._ids.writelines(json.dumps(id).encode() + b"\n" for id in _ids(page))
        self._count += len(page)

    def finish(self) -> None:
        self._stream.seek(0)
        self._write_header()  # now with the number of rows: numpy leaves room for its digits

    def _write_header(self) -> None:
        import numpy as np

        dtype = np.dtype(self._info.dtype)
        header = {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": (self._count, self._info.dim),
        }
        np.lib.format.write_array_header_1_0(self._stream, header)


class ParquetWriter:
    """Columns id, vector (a list of fixed length) and payload, which is JSON text."""

    def __init__(self, stream: BinaryIO, info: Any) -> None:
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError:
            raise PreconditionFailed(
                "writing parquet needs the package pyarrow, which is not installed",
                reason="MISSING_PACKAGE",
                hint="pip install 'vecdb-engine[datasets]'",
            ) from None
        self._pa = pa
        self._dim = info.dim
        values = {"float32": pa.float32(), "float16": pa.float16(), "uint8": pa.uint8()}
        id_type = pa.string() if info.id_kind == "str" else pa.int64()
        self._schema = pa.schema(
            [
                pa.field("id", id_type, nullable=False),
                pa.field("vector", pa.list_(values[info.dtype], info.dim), nullable=False),
                pa.field("payload", pa.string()),
            ]
        )
        self._writer = pq.ParquetWriter(stream, self._schema)

    def write(self, page: Any) -> None:
        pa = self._pa
        payloads = [text.decode() if text else None for text in page.payload_bytes]
        columns = [
            pa.array(_ids(page), self._schema.field("id").type),
            pa.FixedSizeListArray.from_arrays(pa.array(page.vectors.reshape(-1)), self._dim),
            pa.array(payloads, pa.string()),
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))

    def finish(self) -> None:
        self._writer.close()


def ids_path(path: Path) -> Path:
    """Where the ids of an npy file go."""
    return path.with_name(path.name + IDS_SUFFIX)


def _ids(page: Any) -> list[Any]:
    return page.ids if isinstance(page.ids, list) else page.ids.tolist()
