"""What each path of a search is expected to take, from counts that are known before it begins.

The counts are exact or follow from what is stored; the constants are those of a machine
(``bench/planner_fit.py`` fits them) and the same for every search, so the path that ``mode="auto"``
takes depends on the records and the request alone, never on how long other searches took. No path
answers with less than min(k, matching) records: constants decide the time, and no more.
"""

from __future__ import annotations

from dataclasses import dataclass

EXACT_RECORDS, EXACT_NUMBERS = 2_000, 1024 * 1024
"""So many matching records, or numbers of them, are compared exactly: codes save no time."""
GRAPH_SHARE = 0.95
"""Where a smaller share of the records matches, no graph is walked unless it is asked for.

A filter that goes with where vectors lie hides a query's neighbours from the walk. Where it left
30, 50, 70 and 80 % of Fashion-MNIST, recall@10 was .84, .95, .94 and .97, of the worst tenth of the
queries .25, .52, .50 and .68; by the tree it was 1.
"""
_LEAF = 70.0  # slots of a leaf, in the mean
_SMALL = 10.0  # of a node that was not opened, where few match: 128 at most, less the more match
_IMPROVING = 40.0  # nodes that improve what was found, before those that do not
_OPENED = 3.2  # centroids compared for each node that is visited


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """Nanoseconds: ``*_start`` of a path itself, the others of one each.

    - ``number``: of a vector that is compared exactly, read in order; ``row``: of one read alone
    - ``scan_word``: word of 64 bits of a code, of eight read in order; ``word``: the same, anywhere
    - ``node``: of a tree; ``centroid_number``: of a centroid
    - ``hop``: slot of a graph whose neighbours are looked at; ``hop_word``: words of their codes
    - ``page``: of vectors read from the disk
    """

    exact_start: float = 120_000.0
    number: float = 0.18
    row: float = 150.0
    scan_start: float = 350_000.0
    scan_word: float = 0.25
    tree_start: float = 300_000.0
    node: float = 400.0
    centroid_number: float = 0.12
    word: float = 1.0
    graph_start: float = 300_000.0
    hop: float = 500.0
    hop_word: float = 15.0
    page: float = 15_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What is known before a search.

    - ``matching`` of ``live`` records, in ``segments`` of ``slots`` together, ``dim`` numbers each,
      ``words`` words of a code
    - ``patience``: of a walk of the trees; ``width``: of a walk of the graphs, 0: there are none
    - ``page_rows``: vectors on a page, 0: they are in memory; ``on_pages``: neighbours are there
    """

    matching: int
    live: int
    segments: int
    slots: int
    dim: int
    words: int
    patience: int
    width: int
    page_rows: int = 0
    on_pages: bool = False

    @property
    def share(self) -> float:
        return self.matching / max(1, self.live)


def expected_costs(counts: Counts, constants: Constants) -> dict[str, float]:
    """Microseconds of one query by each path that there is, by mode."""
    found = {"exact": _exact(counts, constants), "scan": _scan(counts, constants)}
    if counts.segments:
        found["tree"] = _tree(counts, constants)
    if counts.width:
        found["graph"] = _graph(counts, constants)
    return {path: round(nanoseconds / 1e3, 1) for path, nanoseconds in found.items()}


def choose_path(costs: dict[str, float], counts: Counts, *, every_code: bool = False) -> str:
    """The path that costs least; ``every_code``: what is asked needs them all, or all vectors.

    Few records are compared exactly, and a graph is walked where nearly all match.
    """
    few = counts.matching <= EXACT_RECORDS or counts.matching * counts.dim <= EXACT_NUMBERS
    if few:
        return "exact"
    paths = ["exact", "scan"]
    if not every_code:
        paths += ["tree"] if "tree" in costs else []
        paths += ["graph"] if "graph" in costs and counts.share >= GRAPH_SHARE else []
    return min(paths, key=lambda path: costs[path])


def _exact(counts: Counts, constants: Constants) -> float:
    few = counts.matching <= EXACT_RECORDS
    of_row = constants.number * counts.dim + (constants.row if few else 0.0)
    return constants.exact_start + of_row * counts.matching + constants.page * _pages(counts)


def _pages(counts: Counts) -> float:
    """Pages that hold a record that matches, if they lie anywhere."""
    if not counts.page_rows:
        return 0.0
    met = 1.0 - (1.0 - min(1.0, counts.share)) ** counts.page_rows
    return met * counts.slots / counts.page_rows


def _scan(counts: Counts, constants: Constants) -> float:
    met = 1.0 - (1.0 - min(1.0, counts.share)) ** 8  # of blocks of eight
    words = met * max(counts.slots, counts.matching) * (counts.words + 1)
    return constants.scan_start + constants.scan_word * words


def _tree(counts: Counts, constants: Constants) -> float:
    each = min(_LEAF, max(_SMALL, _LEAF * counts.share))
    nodes = min(counts.patience + _IMPROVING, 1.0 + counts.matching / each)
    centroids = _OPENED * nodes * counts.dim
    words = min(counts.matching, nodes * each) * (counts.words + 1)
    return (
        constants.tree_start
        + constants.node * nodes
        + constants.centroid_number * centroids
        + constants.word * words
    )


def _graph(counts: Counts, constants: Constants) -> float:
    hop = constants.hop + constants.hop_word * (counts.words + 1)
    if counts.on_pages:
        hop += constants.page / 4  # several are asked for at once
    return constants.graph_start + hop * counts.width
