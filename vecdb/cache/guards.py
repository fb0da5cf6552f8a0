"""What a similarity cannot see: other numbers, a negation, the same words in another order.

Embeddings of "2 and 3" and "2 and 5", of "is" and "is not", of "from A to B" and "from B to A" lie
closer together than many paraphrases do. A guard compares 32 bytes made of each prompt, in memory:

====== ========= ======================================================================
bytes  part      what it is
====== ========= ======================================================================
0-7    numbers   hash of the set of words with digits, and of numbers written as words
8-15   bag       hash of the content words, sorted
16-19  sequence  hash of the same in their order
20-23  names     hash of the sequence of capitalised words, without the first of a sentence
24-27  sketch    each content word sets one of 32 bits
28-29  words     how many content words there are
30     negations how many there are
31     version   1; 0: there was no prompt
====== ========= ======================================================================
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from hashlib import blake2b

from .policy import GREY, VETO

NO_GUARD = bytes(32)
VERSION = 1
OVERLAP = 0.15
"""Prompts that share fewer of their words than this are suspect, whatever their similarity."""

_GUARD = struct.Struct("<QQIIIHBB")
_WORD = re.compile(r"[^\W_]+(?:['\u2019.,:/-][^\W_]+)*")
_SENTENCE = re.compile(r"[.?!]\s*$")
_NEGATIONS = frozenset(
    _WORD.findall(
        "not no never none nobody nothing neither nor without cannot cant wont dont doesnt didnt "
        "isnt arent wasnt werent shouldnt wouldnt couldnt hasnt havent hadnt unable except"
    )
)
_COUNTED = _WORD.findall(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
)
_NUMBERS = {word: str(value) for value, word in enumerate(_COUNTED)} | {
    "thirty": "30",
    "forty": "40",
    "fifty": "50",
    "hundred": "100",
    "thousand": "1000",
}
del _NUMBERS["one"]  # more often a pronoun
_FUNCTION = frozenset(
    _WORD.findall(
        "a an the is are was were be been being am do does did of to in on at for with by from as "
        "and or but if so that this these those it its i me my we our you your he she they them "
        "his her their what which who whom how why when where can could will would shall should "
        "may might must have has had there here than then too also just very any some please s t "
        "re ve ll m d"
    )
)


def sign_prompt(prompt: str) -> bytes:
    """The 32 bytes of a prompt; only equal or unequal parts mean anything."""
    numbers: set[str] = set()
    content: list[str] = []
    names: list[str] = []
    negations, sketch, end = 0, 0, 0
    for found in _WORD.finditer(prompt):
        word = found[0]
        lower = word.lower().replace("\u2019", "'")
        begins = end == 0 or _SENTENCE.search(prompt, end, found.start()) is not None
        end = found.end()
        plain = lower.replace("'", "")
        if plain in _NEGATIONS or lower.endswith("n't"):
            negations += 1
            continue
        if any(letter.isdigit() for letter in lower):
            numbers.add(lower.replace(",", ""))
        elif lower in _NUMBERS:
            numbers.add(_NUMBERS[lower])
        if word[0].isupper() and not begins and word != "I":
            names.append(lower)
        stem = _stem(lower)
        if stem not in _FUNCTION:
            content.append(stem)
            sketch |= 1 << (_hash(stem, 4) & 31)
    return _GUARD.pack(
        _hash(" ".join(sorted(numbers)), 8),
        _hash(" ".join(sorted(content)), 8),
        _hash(" ".join(content), 4),
        _hash(" ".join(names), 4),
        sketch,
        min(len(content), 65_535),
        min(negations, 255),
        VERSION,
    )


def compare_guards(asked: bytes, stored: bytes, effects: Mapping[str, str]) -> tuple[str, str]:
    """("", "") if nothing speaks against the pair, else (veto or grey, the guard that says so)."""
    if asked == stored:
        return "", ""
    one, other = _GUARD.unpack(asked), _GUARD.unpack(stored)
    if one[7] != VERSION or other[7] != VERSION:
        return "", ""
    verdict = "", ""
    for name, doubts in (
        ("numbers", one[0] != other[0]),
        ("negation", (one[6] - other[6]) % 2 != 0),
        ("order", one[1] == other[1] and one[2] != other[2]),
        ("entities", one[3] != other[3]),
        ("overlap", _overlap(one, other) < OVERLAP),
    ):
        effect = effects.get(name)
        if doubts and effect == VETO:
            return VETO, name
        if doubts and effect == GREY and not verdict[0]:
            verdict = GREY, name
    return verdict


def _overlap(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """Share of the smaller prompt's words that the other has too; 1 where there are too few."""
    fewest = min(one[4].bit_count(), other[4].bit_count())
    if min(one[5], other[5]) < 4 or fewest == 0:
        return 1.0
    return (one[4] & other[4]).bit_count() / fewest


def _stem(word: str) -> str:
    """Without a plural's or a possessive's s, so that these make no other word."""
    word = word.removesuffix("'s")
    if len(word) > 3 and word[-1] == "s" and word[-2] not in "su":
        return word[:-1]
    return word


def _hash(text: str, size: int) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=size).digest())
