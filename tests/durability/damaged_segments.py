"""Opens copies of a database with one damaged file of a segment, in a process that may die of it.

Arguments: the whole database, a folder to work in. Each line of the input is a damage as JSON,
``{"segment": 0, "file": "codes", "kind": "flip", "seed": 3}``; each line of the output repeats it
and tells how it ended:

- ``outcome``: ``right`` (every answer is what it was), ``damaged`` (``DataCorruption``, with
  ``path`` and ``offset``), ``wrong`` (neither: ``what`` tells), ``same`` (no byte was changed)
- ``check``: the problems that ``vecdb check`` finds
- ``compact``: how a compaction ended, ``right`` or ``damaged``, and what was read afterwards
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

import vecdb
from vecdb.check import check_directory
from vecdb.errors import DataCorruption
from vecdb.storage.segment_files import SEGMENTS
from vecdb.testing.faults import PAGE_BYTES, flip_bit, mutate, swap_pages, truncate, zero_page

DIM = 24


def observe(db: Any) -> str:
    """All that can be read, as one text."""
    docs = db.collection("docs")
    query = np.random.default_rng(9).standard_normal((4, DIM)).astype(np.float32)
    found = [
        *docs.search_batch(query, 300, mode="exact", with_vector=True),
        *docs.search_batch(query, 20, mode="scan", with_vector=True),
        *docs.search_batch(query, 50, filter={"n": {"lt": 40}}, with_vector=True),
    ]
    page = docs.scroll(limit=10_000, with_vector=True)
    got = docs.get(page.ids[::3], with_vector=True)
    parts: list[Any] = [docs.count(), docs.count({"n": 7}), list(page.ids), page.payloads]
    for one in (*found, page, got):
        parts += [list(one.ids), one.vectors.tobytes().hex()]
    parts += [[one.scores.tolist(), one.payloads] for one in found]
    return repr(parts)


def folders(directory: Path) -> list[Path]:
    """Those of the segments, the larger one first."""
    found = (directory / SEGMENTS).iterdir()
    return sorted(found, key=lambda path: -(path / "ids").stat().st_size)


def damage(directory: Path, what: dict[str, Any]) -> Path:
    """Do it; which file it was."""
    segment, other = (folders(directory)[place] for place in (what["segment"], 1 - what["segment"]))
    path, kind = segment / what["file"], what["kind"]
    rng = random.Random(what["seed"])
    pages = path.stat().st_size // PAGE_BYTES
    if kind == "flip":
        flip_bit(path, rng.randrange(path.stat().st_size), rng.randrange(8))
    elif kind == "zero":
        zero_page(path, rng.randrange(max(1, pages)))
    elif kind == "truncate":
        truncate(path, rng.randrange(path.stat().st_size))
    elif kind == "longer":
        path.write_bytes(path.read_bytes() + bytes(PAGE_BYTES))
    elif kind == "pages" and pages > 1:
        swap_pages(path, *rng.sample(range(pages), 2))
    elif kind == "swap":
        theirs = (other / what["file"]).read_bytes()
        (other / what["file"]).write_bytes(path.read_bytes())
        path.write_bytes(theirs)
    elif kind == "remove":
        path.unlink()
    elif kind == "any" and pages > 1:
        mutate(path, rng)
    return path


def attempt(directory: Path, whole: str, *, read_only: bool) -> dict[str, Any]:
    try:
        with vecdb.open(directory, read_only=read_only, threads=1) as db:
            seen = observe(db)
    except DataCorruption as error:
        return {"outcome": "damaged", "path": error.path, "offset": error.offset}
    except Exception as error:
        return {"outcome": "wrong", "what": repr(error)}
    return {"outcome": "right"} if seen == whole else {"outcome": "wrong", "what": "other answers"}


def compact(directory: Path, whole: str) -> str:
    """Of the damaged database: refused, or right afterwards; never a segment of damaged bytes."""
    try:
        with vecdb.open(directory, threads=1) as db:
            docs = db.collection("docs")
            if docs.compact().segments != 1:
                return "wrong: more than one segment"
            return "right" if observe(db) == whole else "wrong: other answers"
    except DataCorruption:
        return "damaged"
    except Exception as error:
        return f"wrong: {error!r}"


def main(base: Path, folder: Path) -> None:
    with vecdb.open(base, read_only=True, threads=1) as db:
        whole = observe(db)
    print("ready", flush=True)
    for number, line in enumerate(sys.stdin):
        directory = shutil.copytree(base, folder / str(number))
        what = json.loads(line)
        path = folders(directory)[what["segment"]] / what["file"]
        before = path.read_bytes()
        damage(directory, what)
        if path.exists() and path.read_bytes() == before:
            answer: dict[str, Any] = {"outcome": "same"}
        else:
            answer = attempt(directory, whole, read_only=number % 2 == 0)
            found = check_directory(directory).problems
            answer["file"] = str(path)
            answer["check"] = [f"{one.where}: {one.what}" for one in found]
            answer["compact"] = compact(directory, whole)
        print(json.dumps(what | answer), flush=True)
        shutil.rmtree(directory)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
