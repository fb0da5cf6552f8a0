"""``segment.json``: one text for one content, and nothing in it that we do not know."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace

import pytest

from vecdb.errors import UnsupportedFormat
from vecdb.storage.array_file import FileSum
from vecdb.storage.segment_info import ColumnInfo, GraphInfo, QuantizerInfo, SegmentInfo, TreeInfo

INFO = SegmentInfo(
    uuid=uuid.UUID(int=2**127 + 5),
    count=1000,
    dim=100,
    metric="cosine",
    dtype="float16",
    id_kind=2,
    page_bytes=4096,
    per_page=20,
    quantizer=QuantizerInfo(
        version=1, rotation="fht3", seed=2**63, padded=128, block=128, bits=4, kappa=0.6130000001
    ),
    tree=TreeInfo(leaf=128, branching=32, seed=3, nodes=17),
    columns=(ColumnInfo(name="größe", kind="int"), ColumnInfo(name="lang", kind="keyword")),
    sequence=2**40,
    first_origin=4,
    last_origin=2**41,
    files={"codes": FileSum(4096, 2**32 - 1), "columns/0": FileSum(0, 0)},
)


def changed(*path, value=None, drop=False):
    """The text with the value at ``path`` replaced."""
    values = json.loads(INFO.to_json())
    inner = values
    for key in path[:-1]:
        inner = inner[key]
    if drop:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return json.dumps(values).encode()


def test_info_comes_back_whole():
    assert SegmentInfo.from_json(INFO.to_json()) == INFO


WIDTHS = ((0.9, 16), (0.99, 64), (0.9985, 768))
LINKED = replace(INFO, layout=1, graph=GraphInfo(degree=32, widths=WIDTHS, page_widths=((0.9, 3),)))


def test_info_with_a_graph_is_of_version_2_and_comes_back_whole():
    assert json.loads(LINKED.to_json())["version"] == 2
    assert SegmentInfo.from_json(LINKED.to_json()) == LINKED
    assert json.loads(INFO.to_json())["version"] == 1
    assert not {"layout", "graph"} & set(json.loads(INFO.to_json()))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("version", 1),
        ("layout", 3),
        ("layout", True),
        ("graph", None),
        ("graph", []),
        ("graph", {"degree": 0, "widths": [], "page_widths": []}),
        ("graph", {"degree": 32, "widths": [[1.5, 3]], "page_widths": []}),
        ("graph", {"degree": 32, "widths": [[0.9, 0]], "page_widths": []}),
        ("graph", {"degree": 32, "widths": [3], "page_widths": []}),
        ("graph", {"degree": 32}),
    ],
)
def test_impossible_graph_is_refused(name, value):
    values = json.loads(LINKED.to_json()) | {name: value}
    with pytest.raises(ValueError, match=r"graph|layout|version|widths|Error"):
        SegmentInfo.from_json(json.dumps(values).encode())


def test_text_is_one_however_the_info_was_made():
    text = INFO.to_json()
    files = dict(reversed(INFO.files.items()))
    assert replace(INFO, files=files).to_json() == text
    assert SegmentInfo.from_json(text).to_json() == text
    assert text.startswith(b'{\n "columns": [')
    assert text.endswith(b"}\n")


def test_other_version_is_told_from_damage():
    with pytest.raises(UnsupportedFormat) as caught:
        SegmentInfo.from_json(changed("version", value=3))
    assert (caught.value.found, caught.value.supported) == (3, 2)


@pytest.mark.parametrize(
    "path", [("more",), ("quantizer", "more"), ("tree", "more"), ("columns", 0, "more")]
)
def test_unknown_key_is_refused(path):
    with pytest.raises(ValueError, match="more"):
        SegmentInfo.from_json(changed(*path, value=1))


@pytest.mark.parametrize("name", [*json.loads(INFO.to_json())])
def test_missing_key_is_refused(name):
    with pytest.raises(ValueError, match=name):
        SegmentInfo.from_json(changed(name, drop=True))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), True),
        (("count",), 0),
        (("count",), 2**32),
        (("count",), 10.0),
        (("count",), True),
        (("dim",), "100"),
        (("metric",), "hamming"),
        (("dtype",), "int8"),
        (("id_kind",), 0),
        (("page_bytes",), 4095),
        (("per_page",), 0),
        (("uuid",), "12"),
        (("uuid",), 12),
        (("last_origin",), 3),
        (("first_origin",), -1),
        (("sequence",), -1),
        (("quantizer",), None),
        (("quantizer", "bits"), 3),
        (("quantizer", "padded"), 64),
        (("quantizer", "kappa"), 1),
        (("quantizer", "kappa"), float("nan")),
        (("tree", "nodes"), 0),
        (("columns",), {}),
        (("columns", 0), 3),
        (("columns", 0, "kind"), "string"),
        (("files", "codes"), [1]),
        (("files", "codes"), [1, 2.0]),
        (("files", "codes"), [-1, 2]),
        (("files", "codes"), [1, 2**32]),
        (("files",), []),
    ],
)
def test_value_that_cannot_be_is_refused(path, value):
    with pytest.raises(ValueError, match=r"\w"):
        SegmentInfo.from_json(changed(*path, value=value))


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"3", b"\xff", b"[" * 100_000])
def test_text_that_is_no_object_is_refused(text):
    with pytest.raises(ValueError, match=r"\w"):
        SegmentInfo.from_json(text)
