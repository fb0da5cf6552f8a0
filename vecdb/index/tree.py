"""The tree of a segment: which run of slots lies near which point.

After Curator (arXiv 2401.07119, 2601.01291), with these differences:

1. Slots follow the leaves, so a node is an interval of slots and any set of slots is cut to a node
   by binary search; Curator keeps a Bloom filter a node and lists of ids.
2. The tree never changes: records that come later wait in the tail, and sealing or compaction
   makes a new one. Hence no splits, no merges, no room left in leaves.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..kernels.clusters import spread_of_rows

_FIELDS: dict[str, str] = {
    "lo": "u4",
    "hi": "u4",
    "first_child": "i4",
    "n_child": "u1",
    "parent": "i4",
    "level": "u1",
    "msd": "f4",
    "rmax": "f4",
}
_CHECKED_BYTES = 8 * 1024 * 1024  # of vectors read at once
_ROUNDING = 1e-4  # how far a mean square, summed again in other pieces, may be off


class Slots(Protocol):
    """Vectors in slot order that can be read a slice at a time: an array, or a view of pages."""

    def __getitem__(self, slots: slice, /) -> NDArray[np.float32]: ...


@dataclass(frozen=True, slots=True)
class Tree:
    """Nodes by number; node 0 is the root, children have consecutive numbers and intervals.

    - ``centroids``: f32[nodes, dim], the mean of the node's vectors
    - ``lo``, ``hi``: u32, its slots are [lo, hi)
    - ``first_child``: i32, -1 in a leaf; ``n_child``: u8; ``parent``: i32, -1 in the root
    - ``level``: u8, 0 in the root
    - ``msd``, ``rmax``: f32, mean square and largest distance of its vectors to its centroid
    """

    centroids: NDArray[np.float32]
    lo: NDArray[np.uint32]
    hi: NDArray[np.uint32]
    first_child: NDArray[np.int32]
    n_child: NDArray[np.uint8]
    parent: NDArray[np.int32]
    level: NDArray[np.uint8]
    msd: NDArray[np.float32]
    rmax: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.lo)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What a segment stores; ``Tree(**arrays)`` is the tree again."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def leaves(self) -> NDArray[np.int64]:
        """Numbers of the leaves, by slot."""
        leaves = np.flatnonzero(self.first_child < 0)
        return leaves[np.argsort(self.lo[leaves], kind="stable")]


def tree_faults(
    tree: Tree, count: int, vectors: Slots | None = None, *, leaf: int = 128
) -> list[str]:
    """What is wrong with the tree of a segment of ``count`` slots; empty if nothing is.

    - ``leaf``: the most slots that a leaf may hold
    - ``vectors``: [count, dim] in slot order, as they were given to ``build_tree``; without them
      the distances are not checked
    """
    faults = _shape_faults(tree)
    if not faults:
        faults = _root_faults(tree, count)
    if not faults:
        faults = [*_child_faults(tree), *_leaf_faults(tree, leaf)]
    if not faults and vectors is not None:
        faults = _distance_faults(tree, count, vectors)
    return faults


def _shape_faults(tree: Tree) -> list[str]:
    nodes = len(tree.lo)
    faults = []
    if tree.centroids.ndim != 2 or len(tree.centroids) != nodes or tree.centroids.dtype != "f4":
        faults.append(f"tree: centroids are not float32[{nodes}, dim]")
    for name, dtype in _FIELDS.items():
        values = getattr(tree, name)
        if values.shape != (nodes,) or values.dtype != dtype:
            faults.append(f"tree: {name} is not {np.dtype(dtype)}[{nodes}]")
    return faults


def _root_faults(tree: Tree, count: int) -> list[str]:
    if len(tree) == 0:
        return ["tree: it has no node"]
    if (tree.lo[0], tree.hi[0]) != (0, count):
        return [f"node 0: its slots are [{tree.lo[0]}, {tree.hi[0]}), not [0, {count})"]
    if tree.parent[0] != -1 or tree.level[0] != 0:
        return [f"node 0: parent {tree.parent[0]} and level {tree.level[0]}, not -1 and 0"]
    return []


def _child_faults(tree: Tree) -> list[str]:
    """Parents, levels and intervals, and that each node but the root is one node's child."""
    nodes = len(tree)
    first, many = tree.first_child.astype(np.int64), tree.n_child.astype(np.int64)
    lo, hi = tree.lo.astype(np.int64), tree.hi.astype(np.int64)
    faults = []
    owners = np.zeros(nodes, np.int64)
    owners[0] = 1
    for node in range(nodes):
        if first[node] < 0:
            if first[node] != -1 or many[node] != 0:
                faults.append(f"node {node}: a leaf with {many[node]} children")
            continue
        start, stop = first[node], first[node] + many[node]
        if start <= node or stop > nodes or start == stop:
            faults.append(f"node {node}: no children [{start}, {stop}) among {nodes} nodes")
            continue
        children = slice(start, stop)
        owners[children] += 1
        if (tree.parent[children] != node).any():
            faults.append(f"node {node}: its children name another parent")
        if (tree.level[children].astype(np.int64) != int(tree.level[node]) + 1).any():
            faults.append(f"node {node}: its children are not one level below it")
        edges = np.append(lo[children], hi[node])
        if edges[0] != lo[node] or (hi[children] != edges[1:]).any():
            faults.append(f"node {node}: its children do not follow each other over its slots")
    faults += [f"node {node}: no slots" for node in np.flatnonzero(lo >= hi)]
    faults += [f"node {node}: child of {owners[node]} nodes" for node in np.flatnonzero(owners - 1)]
    return faults


def _leaf_faults(tree: Tree, leaf: int) -> list[str]:
    sizes = tree.hi.astype(np.int64) - tree.lo
    large = np.flatnonzero((tree.first_child < 0) & (sizes > leaf))
    return [f"node {node}: a leaf of {sizes[node]} slots, more than {leaf}" for node in large]


def _distance_faults(tree: Tree, count: int, vectors: Slots) -> list[str]:
    """``msd`` and ``rmax`` measured again, reading each vector once."""
    nodes = len(tree)
    lo, hi = tree.lo.astype(np.int64), tree.hi.astype(np.int64)
    totals, largest = np.zeros(nodes), np.zeros(nodes)
    step = max(1, _CHECKED_BYTES // (4 * tree.centroids.shape[1]))
    for start in range(0, count, step):
        part = np.ascontiguousarray(vectors[start : min(count, start + step)], np.float32)
        rows = np.arange(len(part))
        for node in np.flatnonzero((lo < start + len(part)) & (hi > start)):
            members = rows[max(lo[node] - start, 0) : hi[node] - start]
            total, most = spread_of_rows(part, members, tree.centroids[node])
            totals[node] += total
            largest[node] = max(largest[node], most)
    faults = []
    for node in np.flatnonzero(~(largest <= tree.rmax.astype(np.float64) ** 2)):
        distance = np.sqrt(largest[node])
        faults.append(f"node {node}: a vector at distance {distance:g}, over {tree.rmax[node]:g}")
    means = totals / (hi - lo)
    float32 = np.finfo(np.float32)
    means = np.minimum(means, float32.max)
    allowed = _ROUNDING * means + float32.tiny
    for node in np.flatnonzero(~(np.abs(means - tree.msd) <= allowed)):
        faults.append(f"node {node}: mean square {means[node]:g}, not {tree.msd[node]:g}")
    return faults
