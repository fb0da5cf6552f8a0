"""WordPiece: text to the token numbers of an uncased BERT model.

Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers" (2019), as published with
the model: clean, lower-case, strip accents, split at spaces and punctuation, then cut each word
greedily into the longest pieces of the vocabulary. Written out because the usual packages bring a
downloader of models along.
"""

from __future__ import annotations

import gzip
import unicodedata
from collections.abc import Iterator
from pathlib import Path

WORD_CHARACTERS = 100
"""A longer word becomes one unknown token, as in the original."""
TOKENS = 128
"""Tokens of one text, markers included; the rest is cut off, as when the model was trained."""
IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
"""Code points that are words by themselves (the gap before 0x2B920 is the original's)."""


class WordPiece:
    """A vocabulary, ready to tokenize; thread-safe."""

    def __init__(self, words: list[str]) -> None:
        self._numbers = {word: number for number, word in enumerate(words)}
        self._unknown, self._start, self._end = (
            self._numbers[word] for word in ("[UNK]", "[CLS]", "[SEP]")
        )

    @classmethod
    def load(cls, path: Path) -> WordPiece:
        """Read a gzipped ``vocab.txt``: one piece a line, its number is the line's."""
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            return cls([line.rstrip("\n") for line in lines])

    def encode(self, text: str) -> list[int]:
        """Token numbers of ``text`` between the start and end markers; at most ``TOKENS``."""
        numbers = [number for word in _words(text) for number in self._pieces(word)]
        return [self._start, *numbers[: TOKENS - 2], self._end]

    def _pieces(self, word: str) -> list[int]:
        if len(word) > WORD_CHARACTERS:
            return [self._unknown]
        numbers = []
        start = 0
        while start < len(word):
            mark = "##" if start else ""
            for end in range(len(word), start, -1):
                number = self._numbers.get(mark + word[start:end])
                if number is not None:
                    break
            else:
                return [self._unknown]
            numbers.append(number)
            start = end
        return numbers


def _words(text: str) -> Iterator[str]:
    """Words and single punctuation marks, lower-case and without accents."""
    clean = "".join(_clean(character) for character in text)
    decomposed = unicodedata.normalize("NFD", clean)
    # Letter by letter: str.lower would treat a sigma at the end of a word apart.
    plain = "".join(c.lower() for c in decomposed if unicodedata.category(c) != "Mn")
    word = ""
    for character in plain:
        if not character.isspace() and not _is_punctuation(character):
            word += character
            continue
        if word:
            yield word
        word = ""
        if not character.isspace():
            yield character
    if word:
        yield word


def _clean(character: str) -> str:
    """The character, a space for white space, nothing for control characters."""
    if character in "\t\n\r":
        return " "
    if character == "\ufffd" or unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs"):
        return ""
    if character.isspace():
        return " "
    code = ord(character)
    if any(low <= code <= high for low, high in IDEOGRAPHS):
        return f" {character} "
    return character


def _is_punctuation(character: str) -> bool:
    """Punctuation, and the ASCII symbols that Unicode classes apart, such as ``$`` and ``+``."""
    if character.isascii():
        return not character.isalnum() and character.isprintable() and character != " "
    return unicodedata.category(character).startswith("P")
