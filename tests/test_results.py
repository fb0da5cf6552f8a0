"""Results as values: rows out of columns, labels of a relevance."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.results import LABELS, Matches, label_of


def matches(**columns) -> Matches:
    return Matches(
        ids=np.array([7, 8]),
        scores=np.array([1.0, 0.5], np.float32),
        distances=np.array([0.0, 0.5], np.float32),
        **columns,
    )


@pytest.mark.parametrize(
    ("relevance", "label"),
    [
        (1.0, "Close Match"),
        (0.894, "Close Match"),
        (0.893999, "Very High Relevance"),
        (0.632, "Very High Relevance"),
        (0.447, "High Relevance"),
        (0.316, "Good Relevance"),
        (0.224, "Low Relevance"),
        (0.1, "Very Low Relevance"),
        (0.099999, "Irrelevant"),
        (0.0, "Irrelevant"),
    ],
)
def test_label_begins_at_its_least_relevance(relevance, label):
    assert label_of(relevance) == label


def test_labels_come_best_first_and_cover_everything():
    bounds = [least for least, _ in LABELS]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] == 0.0


def test_row_has_the_scores_that_were_asked_for():
    found = matches(relevance=np.array([1.0, 0.3]), surprise_bits=np.array([20.5, 3.25]))
    assert [(row.relevance, row.label, row.surprise_bits) for row in found] == [
        (1.0, "Close Match", 20.5),
        (0.3, "Low Relevance", 3.25),
    ]
    assert type(found[0].relevance) is type(found[0].surprise_bits) is float


def test_scores_that_were_not_asked_for_are_none():
    found = matches()
    assert (found.relevance, found.surprise_bits) == (None, None)
    assert (found[0].relevance, found[0].label, found[0].surprise_bits) == (None, None, None)
