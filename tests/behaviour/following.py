"""The second process of test_follower: reads a database beside its writer, and is asked on stdin.

Each line is a JSON object {"call": .., "arguments": {..}}; each answer is one line of JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

import vecdb


def describe(docs: Any, query: list[float], filter: Any = None) -> dict[str, Any]:
    """All that can be read of a collection; ``filter`` is a dict or None."""
    found = docs.search(
        np.array(query, np.float32), 10_000, filter=filter, with_vector=True, with_payload=True
    )
    first = docs.scroll(limit=1)
    got = docs.get(first.ids, with_vector=True) if len(first) else None
    info = docs.describe()
    return {
        "count": [docs.count(), docs.count(filter), info.count],
        "sequence": info.sequence,
        "id_kind": info.id_kind,
        "ids": list(map(str, found.ids)),
        "scores": found.scores.tobytes().hex(),
        "vectors": found.vectors.tobytes().hex(),
        "payloads": found.payloads,
        "first": None if got is None else [got.sequences.tolist(), got.vectors.tolist()],
    }


def answer(db: Any, call: str, arguments: dict[str, Any]) -> Any:
    if call == "names":
        return [info.name for info in db.collections()], db.aliases()
    if call == "loaded":
        return sorted(db._store._live)
    return describe(db.collection(arguments.pop("name")), **arguments)


def main() -> None:
    with vecdb.open(sys.argv[1], read_only=True) as db:
        for line in sys.stdin:
            asked = json.loads(line)
            try:
                found = answer(db, asked["call"], asked["arguments"])
            except vecdb.errors.VecDBError as error:
                found = {"error": type(error).__name__, "reason": error.reason}
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
