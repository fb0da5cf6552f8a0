"""Folders: BEIR, the MNIST family, and a plain one.

plain:  vectors.npy, and where there are: queries.npy, groundtruth.npy (row numbers), rows.jsonl (a
        payload a row), SOURCE.txt (``metric: cosine`` in its first line).
BEIR:   corpus.jsonl with ``_id``, ``title``, ``text``. It has no vectors: they are taken from an
        npy file that somebody wrote beside it, a row a line of the corpus.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from ..schema import METRICS
from . import idx
from .arrays import all_vectors
from .columns import Columns
from .dataset import Dataset, PairedRows
from .jsonl import count_lines, plan_lines
from .numpy_files import load_npy, map_npy
from .refusal import bad_file, reading

VECTORS = "vectors.npy"
QUERIES = "queries.npy"
TRUTH = "groundtruth.npy"
ROWS = ("rows.jsonl", "rows.jsonl.gz")
CORPUS = ("corpus.jsonl", "corpus.jsonl.gz")
BEIR_VECTORS = (VECTORS, "corpus.npy", "embeddings.npy", "corpus_embeddings.npy")
BEIR_QUERIES = (QUERIES, "query_embeddings.npy", "queries_embeddings.npy")
_METRIC = re.compile(rf"metric:\s*({'|'.join(METRICS)})\b")
_SOURCE_BYTES = 4096


def folder_format(folder: Path) -> str:
    """beir, folder or idx, by the names of the files in it."""
    if first_of(folder, CORPUS):
        return "beir"
    if (folder / VECTORS).is_file():
        return "folder"
    if _idx_base(folder):
        return "idx"
    raise bad_file(
        folder,
        f"expected a folder with {VECTORS}, {CORPUS[0]} or {idx.BASE}, found none of them",
        hint="Name a file in it instead",
    )


def load_folder(folder: Path, columns: Columns) -> Dataset:
    """Ids are row numbers, since truth names rows, unless a column is asked for."""
    vectors = folder / VECTORS
    if not vectors.is_file():
        raise bad_file(folder, f"expected {VECTORS} in it, found none")
    dataset = replace(load_npy(vectors), path=folder, format="folder", metric=_metric(folder))
    rows = first_of(folder, ROWS)
    if rows is not None:
        by_row = replace(columns, id=columns.id or "")
        dataset = _with_lines(dataset, vectors, rows, by_row)
    return _with_sides(dataset, folder, (QUERIES,))


def load_beir(folder: Path, columns: Columns) -> Dataset:
    """Texts and ids; with vectors where there is a matrix of them, see ``BEIR_VECTORS``."""
    corpus = first_of(folder, CORPUS)
    if corpus is None:
        raise bad_file(folder, f"expected {CORPUS[0]} in it, found none")
    vectors = first_of(folder, BEIR_VECTORS)
    if vectors is None:
        texts = plan_lines(corpus, columns, with_vectors=False)
        return Dataset(
            path=folder,
            format="beir",
            dim=0,
            count=None,
            dtype="float32",
            source=texts,
            notes=(*texts.notes, f"vectors are missing: none of {', '.join(BEIR_VECTORS)}"),
        )
    dataset = replace(load_npy(vectors), path=folder, format="beir", metric=_metric(folder))
    dataset = _with_lines(dataset, vectors, corpus, columns)
    if (folder / "qrels").is_dir():
        note = "qrels are judgements of relevance, not nearest rows: not taken as truth"
        dataset = replace(dataset, notes=(*dataset.notes, note))
    return _with_sides(dataset, folder, BEIR_QUERIES)


def load_idx_folder(folder: Path) -> Dataset:
    base = _idx_base(folder)
    if base is None:
        raise bad_file(folder, f"expected {idx.BASE} in it, found none")
    dataset = replace(idx.load_idx(base), path=folder, metric=_metric(folder))
    return _with_sides(dataset, folder, ())


def first_of(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _idx_base(folder: Path) -> Path | None:
    return first_of(folder, (idx.BASE, idx.BASE + ".gz"))


def _with_lines(dataset: Dataset, vectors: Path, lines: Path, columns: Columns) -> Dataset:
    """Ids and payloads of ``lines``; counted first, since one line too few shifts all after it."""
    found = count_lines(lines)
    if found != dataset.count:
        raise bad_file(
            lines,
            f"expected {dataset.count} lines, one a row of {vectors.name}, found {found}",
            reason="WRONG_SIZE",
        )
    texts = plan_lines(lines, columns, with_vectors=False)
    source = PairedRows(dataset.path, dataset.source, texts)
    return replace(dataset, source=source, notes=(*dataset.notes, *texts.notes))


def _with_sides(dataset: Dataset, folder: Path, queries: tuple[str, ...]) -> Dataset:
    found = first_of(folder, queries)
    if found is not None:
        dataset = replace(dataset, queries=all_vectors(load_npy(found)))
    truth = folder / TRUTH
    return replace(dataset, truth_ids=map_npy(truth)) if truth.is_file() else dataset


def _metric(folder: Path) -> str | None:
    source = folder / "SOURCE.txt"
    if not source.is_file():
        return None
    with reading(source), source.open("rb") as file:
        found = _METRIC.match(file.read(_SOURCE_BYTES).decode(errors="replace"))
    return found[1] if found else None
