"""The tokenizer agrees with the reference implementation (``tokenizers``, BERT base uncased)."""

from __future__ import annotations

import pytest

from vecdb_server.embedding import VOCABULARY
from vecdb_server.wordpiece import TOKENS, WordPiece

REFERENCE = {
    "recover deleted files from a damaged disk": [8980, 17159, 6764, 2013, 1037, 5591, 9785],
    "gimp: GNU Image Manipulation Program": [21025, 8737, 1024, 27004, 3746, 16924, 2565],
    "C++/Qt5 (amd64) $HOME~1": [
        *(1039, 1009, 1009, 1013, 1053, 2102, 2629, 1006, 2572, 2094, 21084),
        *(1007, 1002, 2188, 1066, 1015),
    ],
    "Ünïcödé naïve Straße": [27260, 15743, 2358, 27807],
    "数据库 search": [100, 100, 100, 3945],
    "zero\u200bwidth \x07bell\ttab": [5717, 9148, 11927, 2232, 4330, 21628],
    "\u0391\u03a3": [1155, 29733],
    "x" * 101 + " y": [100, 1061],
    "\u3000wide\u00a0space": [2898, 2686],
    "": [],
}
"""Text and the token numbers that the reference gave, markers left out."""


@pytest.fixture(scope="module")
def tokens() -> WordPiece:
    return WordPiece.load(VOCABULARY)


@pytest.mark.parametrize("text", REFERENCE)
def test_tokens_are_those_of_the_reference(tokens, text):
    assert tokens.encode(text) == [101, *REFERENCE[text], 102]


def test_long_text_is_cut_and_still_ends_with_its_marker(tokens):
    numbers = tokens.encode("word " * 300)
    assert len(numbers) == TOKENS
    assert numbers[-1] == 102


def test_markers_in_a_text_are_plain_text(tokens):
    assert 103 not in tokens.encode("[MASK]")
