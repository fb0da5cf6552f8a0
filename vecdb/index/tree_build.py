"""From vectors to slot order: hierarchical k-means, then leaves halved down to pages.

Level by level; the nodes of a level go to a few threads, one faiss thread a k-means: on thousands
of small problems faiss's own threads mostly wait for each other. Each task writes its part of the
order and nothing else, so the result is the same for any number of threads.

All rows begin in the order of their ids, and every step keeps the order of rows that it cannot tell
apart. Hence equal vectors lie in slots by id, and neither tree nor order depends on how the rows
were given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.halving import halve_runs
from .tree import Tree
from .tree_split import Children, Splitter

_LARGE_BYTES = 64 * 1024 * 1024  # of the vectors of a node that all threads split together
_TASK_ROWS = 4_096  # of the leaves that one task halves


def build_tree(
    vectors: NDArray[np.float32],
    *,
    leaf: int = 128,
    branching: int = 32,
    page_rows: int,
    seed: int,
    tie_order: NDArray[np.int64],
    threads: int = 2,
    progress: Callable[[int, int], None] | None = None,
    check: Callable[[], None] | None = None,
) -> tuple[Tree, NDArray[np.int64]]:
    """The tree over ``vectors``, and the order that it puts them in: slot s holds ``order[s]``.

    - ``vectors``: [n, dim], n > 0, C-contiguous, finite; of unit length (or zero) for cosine
    - ``leaf``, ``page_rows``: the most rows of a leaf, and of a page
    - ``branching``: the most children of a node, 2 .. 255
    - ``tie_order``: [n], the rank of each row's id
    - ``progress``: called with the rows done, and all rows
    - ``check``: called now and then; what it raises ends the work

    Beside the vectors it needs some 20 bytes a row, and at most 100 MB for each thread.
    """
    assert len(vectors) > 0, "a tree needs a row"
    assert 2 <= branching <= 255, "n_child is one byte"
    splitter = Splitter(vectors=vectors, leaf=leaf, branching=branching, seed=seed)
    order = np.argsort(tie_order, kind="stable").astype(np.int64, copy=False)
    tell = _Tell(len(vectors), leaf, branching, progress, check)
    with ThreadPoolExecutor(max(1, threads), thread_name_prefix="vecdb-tree") as pool:
        try:
            tree = _grow(splitter, order, pool, tell)
            _halve_leaves(vectors, tree, order, page_rows, pool, tell)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return tree, order


class _Tell:
    """Progress in rows: each counts in equal parts, one a level and one for its place on a page."""

    def __init__(
        self,
        rows: int,
        leaf: int,
        branching: int,
        progress: Callable[[int, int], None] | None,
        check: Callable[[], None] | None,
    ) -> None:
        self._rows, self._progress, self._check = rows, progress, check
        self._levels = 0  # as few as there can be
        while rows > leaf * branching**self._levels:
            self._levels += 1
        self._done = 0.0

    def split(self, rows: int, level: int) -> None:
        """A node of that level has its children."""
        self._done += rows / (self._levels + 1) if level < self._levels else 0.0
        self._report()

    def halved(self, rows: NDArray[np.int64], levels: NDArray[np.uint8]) -> None:
        """The rows of leaves of those levels have their places."""
        counted = np.minimum(levels, self._levels) / (self._levels + 1)
        self._done += float(rows @ (1.0 - counted))
        self._report()

    def check(self) -> None:
        if self._check is not None:
            self._check()

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(min(self._rows, round(self._done)), self._rows)
        self.check()


class _Nodes:
    """The nodes found so far, breadth-first."""

    def __init__(self, root: Children) -> None:
        self.lo, self.hi = [0], [int(root.edges[1])]
        self.parent, self.level = [-1], [0]
        self.first_child, self.n_child = [-1], [0]
        self._parts = [root]

    def adopt(self, node: int, children: Children) -> None:
        count = len(children.edges) - 1
        self.first_child[node], self.n_child[node] = len(self.lo), count
        for start, stop in pairwise((children.edges + self.lo[node]).tolist()):
            self.lo.append(start)
            self.hi.append(stop)
        self.parent += [node] * count
        self.level += [self.level[node] + 1] * count
        self.first_child += [-1] * count
        self.n_child += [0] * count
        self._parts.append(children)

    def tree(self) -> Tree:
        return Tree(
            centroids=np.concatenate([part.centroids for part in self._parts]),
            lo=np.array(self.lo, np.uint32),
            hi=np.array(self.hi, np.uint32),
            first_child=np.array(self.first_child, np.int32),
            n_child=np.array(self.n_child, np.uint8),
            parent=np.array(self.parent, np.int32),
            level=np.array(self.level, np.uint8),
            msd=np.concatenate([part.msd for part in self._parts]),
            rmax=np.concatenate([part.rmax for part in self._parts]),
        )


def _grow(
    splitter: Splitter, order: NDArray[np.int64], pool: ThreadPoolExecutor, tell: _Tell
) -> Tree:
    """The nodes; ``order`` follows their leaves."""

    def run_together(pieces: Sequence[Callable[[], Any]]) -> None:
        for task in [pool.submit(piece) for piece in pieces]:
            task.result()
            tell.check()

    large = _LARGE_BYTES // (4 * splitter.vectors.shape[1])
    nodes = _Nodes(splitter.describe(order, np.array([0, len(order)]), run_together))
    start = 0
    while start < len(nodes.lo):
        level = range(start, len(nodes.lo))
        rows_of = {node: order[nodes.lo[node] : nodes.hi[node]] for node in level}
        tasks = {
            node: pool.submit(splitter.split, rows, node)
            for node, rows in rows_of.items()
            if splitter.leaf < len(rows) <= large
        }
        for node, rows in rows_of.items():
            if len(rows) <= splitter.leaf:
                continue
            if node in tasks:
                nodes.adopt(node, tasks[node].result())
            else:
                nodes.adopt(node, splitter.split(rows, node, run_together))
            tell.split(len(rows), nodes.level[node])
        start = level.stop
    return nodes.tree()


def _halve_leaves(
    vectors: NDArray[np.float32],
    tree: Tree,
    order: NDArray[np.int64],
    page_rows: int,
    pool: ThreadPoolExecutor,
    tell: _Tell,
) -> None:
    """Order the rows of each leaf down to the page."""
    leaves = tree.leaves()
    edges = np.append(tree.lo[leaves], tree.hi[0]).astype(np.int64)
    tasks = []
    for first, last in _runs(edges, _TASK_ROWS):
        rows = order[edges[first] : edges[last]]
        cuts = edges[first : last + 1] - edges[first]
        tasks.append((first, last, pool.submit(_halve, vectors, rows, cuts, page_rows)))
    for first, last, task in tasks:
        task.result()
        tell.halved(np.diff(edges[first : last + 1]), tree.level[leaves[first:last]])


def _halve(
    vectors: NDArray[np.float32], rows: NDArray[np.int64], edges: NDArray[np.int64], unit: int
) -> None:
    block = np.empty((int(np.diff(edges).max()), vectors.shape[1]), np.float32)
    halve_runs(vectors, rows, edges, unit, block)


def _runs(edges: NDArray[np.int64], rows: int) -> Iterator[tuple[int, int]]:
    """(first, last) of neighbouring intervals that hold ``rows`` together, or a little more."""
    first = 0
    for last in range(1, len(edges)):
        if edges[last] - edges[first] >= rows or last == len(edges) - 1:
            yield first, last
            first = last
