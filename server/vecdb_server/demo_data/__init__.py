"""What does the demo search in? 10,000 packages of Debian 12; README.md tells the whole story."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent
FIELDS = {"section": "keyword", "arch": "keyword", "installed_kb": "int", "tags": "keyword"}
"""The fields of the payloads that filters may use, with their types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoData:
    """The sample in memory, about 20 MB.

    - ``names``: of the packages, unique
    - ``payloads``: name, summary and the declared ``FIELDS`` of each package
    - ``vectors``: float32[packages, dim]
    - ``questions``, ``question_vectors``: plain questions and float32[questions, dim]
    - ``queries``: float32[queries, dim], packages that are not among ``names``
    """

    names: list[str]
    payloads: list[dict[str, Any]]
    vectors: NDArray[np.float32]
    questions: list[str]
    question_vectors: NDArray[np.float32]
    queries: NDArray[np.float32]

    def question_vector(self, question: str) -> NDArray[np.float32]:
        """The vector of a shipped question; ``ValueError`` for any other text."""
        vector: NDArray[np.float32] = self.question_vectors[self.questions.index(question)]
        return vector


def load(folder: Path = FOLDER) -> DemoData:
    """Read the sample; about a quarter of a second."""
    with gzip.open(folder / "rows.jsonl.gz", "rt", encoding="utf-8") as lines:
        payloads = [json.loads(line) for line in lines]
    with (folder / "questions.jsonl").open(encoding="utf-8") as lines:
        questions = [json.loads(line)["text"] for line in lines]
    return DemoData(
        names=[payload["name"] for payload in payloads],
        payloads=payloads,
        vectors=_vectors(folder / "vectors.npy"),
        questions=questions,
        question_vectors=_vectors(folder / "questions.npy"),
        queries=_vectors(folder / "queries.npy"),
    )


def _vectors(path: Path) -> NDArray[np.float32]:
    array = np.load(path, allow_pickle=False)
    return np.asarray(array, np.float32)
