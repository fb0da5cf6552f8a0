"""``segment.json``: what a segment is, how its codes and tree were made, what its files are."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field, fields
from math import isfinite
from typing import Any

from ..schema import DTYPES, FIELD_TYPES, METRICS
from . import format
from .array_file import FileSum, unknown_version

SEGMENT_FILE = "segment.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizerInfo:
    """How codes were made: enough to code a query the same way.

    - ``version``: of the quantizer's code
    - ``rotation``: its name, such as fht3
    - ``padded``: dimensions after padding; ``block``: of the rotation's Hadamard blocks
    - ``bits``: of the whole code, in each dimension
    - ``kappa``: error factor of the scan plane, measured
    """

    version: int
    rotation: str
    seed: int
    padded: int
    block: int
    bits: int
    kappa: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeInfo:
    leaf: int
    branching: int
    seed: int
    nodes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphInfo:
    """The graph that file ``graph`` holds.

    - ``degree``: most neighbours of a slot
    - ``widths``: (recall, width of the walk that reached it among ten, at seal) by recall, of
      walks over links in memory; ``page_widths``: of walks on pages, where these have neighbours
    """

    degree: int
    widths: tuple[tuple[float, int], ...]
    page_widths: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnInfo:
    """A declared field; its values lie in ``columns/<position in SegmentInfo.columns>``."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentInfo:
    """The contents of ``segment.json``; an unknown key, or a missing one, is refused.

    - ``count``: slots, 0 to count - 1
    - ``id_kind``: ``format.ID_INT`` or ``format.ID_STR``
    - ``sequence``: the segment holds what writes up to this one had stored
    - ``first_origin``, ``last_origin``: smallest and largest slot that its records had in the tail
    - ``layout``: of the pages, ``format.LAYOUT_...``; ``graph``: None, it has none. A segment with
      neither is of version 1, which is what that version wrote
    - ``files``: of every file beside ``segment.json``, by its path in the folder
    """

    uuid: uuid.UUID
    count: int
    dim: int
    metric: str
    dtype: str
    id_kind: int
    page_bytes: int
    per_page: int
    quantizer: QuantizerInfo
    tree: TreeInfo
    columns: tuple[ColumnInfo, ...] = ()
    sequence: int
    first_origin: int
    last_origin: int
    layout: int = format.LAYOUT_VECTORS
    graph: GraphInfo | None = None
    files: dict[str, FileSum] = field(default_factory=dict)

    @property
    def blocks(self) -> int:
        """Of eight slots each."""
        return -(-self.count // 8)

    @property
    def kappa(self) -> float:
        return self.quantizer.kappa

    @property
    def version(self) -> int:
        """Of the form of ``segment.json``."""
        plain = self.layout == format.LAYOUT_VECTORS and self.graph is None
        return format.SEGMENT_VERSION if plain else format.SEGMENT_JSON_VERSION

    def to_json(self) -> bytes:
        """The file's text: one form only, so that equal contents have equal checksums."""
        values = _plain(self)
        values["version"] = self.version
        if self.version == format.SEGMENT_VERSION:
            del values["layout"], values["graph"]
        elif self.graph is not None:
            values["graph"] = _plain(self.graph)
        values["uuid"] = self.uuid.hex
        values["quantizer"] = _plain(self.quantizer)
        values["tree"] = _plain(self.tree)
        values["columns"] = [_plain(column) for column in self.columns]
        values["files"] = {name: list(sums) for name, sums in self.files.items()}
        text = json.dumps(values, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
        return text.encode() + b"\n"

    @classmethod
    def from_json(cls, text: bytes) -> SegmentInfo:
        """Raises ``UnsupportedFormat`` for another version, ``ValueError`` if it is not valid."""
        try:
            values = json.loads(text)
            if not isinstance(values, dict):
                raise ValueError("it is no JSON object")
            found = _take(values, "version", int)
            if found == format.SEGMENT_VERSION:
                if {"layout", "graph"} & set(values):
                    raise ValueError("version 1 has neither a layout nor a graph")
                values |= {"layout": format.LAYOUT_VECTORS, "graph": None}
            elif found != format.SEGMENT_JSON_VERSION:
                raise unknown_version(SEGMENT_FILE, found, format.SEGMENT_JSON_VERSION)
            info = _decode(values)
            if info.version != found:
                raise ValueError(f"it would be of version {info.version}, not {found}")
        except (KeyError, TypeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error
        _check(info)
        return info


def _plain(value: Any) -> dict[str, Any]:
    return {entry.name: getattr(value, entry.name) for entry in fields(value)}


def _decode(values: dict[str, Any]) -> SegmentInfo:
    quantizer = _record(QuantizerInfo, _take(values, "quantizer", dict))
    tree = _record(TreeInfo, _take(values, "tree", dict))
    columns = tuple(_record(ColumnInfo, column) for column in _take(values, "columns", list))
    graph = values["graph"]
    if graph is not None:
        if not isinstance(graph, dict):
            raise ValueError("the graph is no JSON object")
        for name in ("widths", "page_widths"):
            pairs = graph[name]
            graph[name] = tuple((float(recall), int(width)) for recall, width in pairs)
        graph = _record(GraphInfo, graph)
    files = {}
    for name, pair in _take(values, "files", dict).items():
        size, checksum = pair
        if type(size) is not int or type(checksum) is not int:
            raise ValueError(f"the sums of file {name!r} are no integers")
        files[name] = FileSum(size, checksum)
    values["uuid"] = uuid.UUID(hex=_take(values, "uuid", str))
    values |= {"quantizer": quantizer, "tree": tree, "columns": columns, "files": files}
    values["graph"] = graph
    return _record(SegmentInfo, values)  # type: ignore[no-any-return]


def _take(values: dict[str, Any], name: str, kind: type) -> Any:
    value = values.pop(name)
    if type(value) is not kind:
        raise ValueError(f"{name!r} is of type {type(value).__name__}, expected {kind.__name__}")
    return value


def _record(cls: Any, values: dict[str, Any]) -> Any:
    """An instance whose fields are exactly ``values``, each of the declared type."""
    expected = {entry.name: entry.type for entry in fields(cls)}
    if set(values) != set(expected):
        odd = sorted(set(values) ^ set(expected))
        raise ValueError(f"{cls.__name__} has {odd[0]!r} unknown or missing")
    plain = {"int": int, "str": str, "float": float}
    for name, kind in expected.items():
        if kind in plain and type(values[name]) is not plain[kind]:
            raise ValueError(f"{name!r} is of type {type(values[name]).__name__}, expected {kind}")
    return cls(**values)


def _check(info: SegmentInfo) -> None:
    """Raise ``ValueError`` where numbers cannot be right."""
    quantizer = info.quantizer
    right = {
        "count": 1 <= info.count < 2**32,
        "dim": info.dim >= 1,
        "metric": info.metric in METRICS,
        "dtype": info.dtype in DTYPES,
        "id_kind": info.id_kind in (format.ID_INT, format.ID_STR),
        "page_bytes": info.page_bytes >= 1 and info.page_bytes % format.ALIGNMENT == 0,
        "per_page": 1 <= info.per_page < 2**16,
        "origins": 0 <= info.first_origin <= info.last_origin,
        "sequence": info.sequence >= 0,
        "padded": quantizer.padded >= info.dim and quantizer.padded % 64 == 0,
        "bits": quantizer.bits in (1, 2, 4, 8),
        "kappa": isfinite(quantizer.kappa),
        "nodes": info.tree.nodes >= 1,
        "layout": info.layout in format.LAYOUTS,
        "graph": info.graph is None or _possible(info.graph, info.count),
        "columns": all(column.kind in FIELD_TYPES for column in info.columns),
        "files": all(sums.bytes >= 0 <= sums.crc32c < 2**32 for sums in info.files.values()),
    }
    if info.graph is None and info.layout != format.LAYOUT_VECTORS:
        right["graph"] = False
    for name, holds in right.items():
        if not holds:
            raise ValueError(f"{name!r} is impossible")


def _possible(graph: GraphInfo, count: int) -> bool:
    pairs = (*graph.widths, *graph.page_widths)
    widths = all(0.0 < recall <= 1.0 and 1 <= width < 2**32 for recall, width in pairs)
    return 1 <= graph.degree <= 1024 and count < 2**32 - 1 and widths
