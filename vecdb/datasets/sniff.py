"""Which format is it? By suffix, then by what the bytes say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..errors import InvalidArgument
from . import bigann, hdf5, parquet
from .folders import folder_format
from .idx import read_header
from .refusal import bad_file, reading
from .streams import first_bytes, open_stream

FORMATS = (
    "beir",
    "bvecs",
    "fbin",
    "folder",
    "fvecs",
    "hdf5",
    "i8bin",
    "idx",
    "jsonl",
    "npy",
    "npz",
    "parquet",
    "u8bin",
)
"""What ``load_dataset`` reads."""
TRUTH_FORMATS = ("ibin", "ivecs", "knn-truth", "npy", "range-truth")
"""What ``load_truth`` reads."""

SUFFIXES = {
    ".npy": "npy",
    ".npz": "npz",
    ".fvecs": "fvecs",
    ".bvecs": "bvecs",
    ".ivecs": "ivecs",
    ".hdf5": "hdf5",
    ".h5": "hdf5",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".idx": "idx",
}
BY_ARITHMETIC = {".fbin": "fbin", ".u8bin": "u8bin", ".i8bin": "i8bin", ".rangeres": "range-truth"}
"""Suffixes that mean a layout of big-ann, and only if the size agrees."""
_IDX_NAME = re.compile(r"[.-]idx\d-\w+$")
_CROP = re.compile(r"\.crop_nb_\d+$")
_BEGINNINGS = (
    (b"\x93NUMPY", "npy"),
    (b"PK\x03\x04", "npz"),
    (hdf5.MAGIC, "hdf5"),
    (parquet.MAGIC, "parquet"),
)
_PACKED = ("idx", "jsonl")


def sniff_format(path: Path) -> str:
    """One of ``FORMATS``."""
    if path.is_dir():
        return folder_format(path)
    found = _format_of_name(path) or _format_of_beginning(path) or _format_of_size(path)
    if found not in FORMATS:
        raise _not_one_of(path, found, FORMATS)
    return found


def sniff_truth(path: Path) -> str:
    """One of ``TRUTH_FORMATS``; a file that its suffix and size call vectors is not truth."""
    found = _format_of_name(path)
    if found in TRUTH_FORMATS:
        return str(found)
    if found is not None:
        raise _not_one_of(path, found, TRUTH_FORMATS)
    named = BY_ARITHMETIC.get(_suffix(path))
    fitting = bigann.fitting_layouts(path)
    if named in bigann.VECTORS and named in fitting:
        raise _not_one_of(path, str(named), TRUTH_FORMATS)
    if named in fitting:
        return str(named)
    return _only(path, named, [name for name in fitting if name in bigann.TRUTHS], TRUTH_FORMATS)


def check_format(format: object, known: Sequence[str]) -> str:
    if isinstance(format, str) and format in known:
        return format
    raise InvalidArgument(
        f"format must be auto or one of {', '.join(known)}; got {str(format)[:40]!r}",
        field="format",
        hint="Ground truth is read by load_truth, or goes with its vectors: truth="
        if format in TRUTH_FORMATS
        else "",
    )


def _format_of_name(path: Path) -> str | None:
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    found = SUFFIXES.get(plain.suffix.lower())
    if _IDX_NAME.search(plain.name):
        found = "idx"
    if plain is not path and found not in _PACKED and found is not None:
        raise bad_file(
            path,
            f"{found} is not read from gzip, only {' and '.join(_PACKED)} are",
            hint=f"Unpack it first: gzip -dk {path.name}",
        )
    return found


def _suffix(path: Path) -> str:
    return Path(_CROP.sub("", path.name)).suffix.lower()


def _format_of_beginning(path: Path) -> str | None:
    head = first_bytes(path, 8)
    return next((format for magic, format in _BEGINNINGS if head.startswith(magic)), None)


def _format_of_size(path: Path) -> str:
    named = BY_ARITHMETIC.get(_suffix(path))
    fitting = bigann.fitting_layouts(path)
    if named in fitting:
        return str(named)
    if _is_idx(path):
        fitting.append("idx")
    if not fitting and named is None and _begins_as_object(path):
        return "jsonl"
    return _only(path, named, fitting, FORMATS)


def _is_idx(path: Path) -> bool:
    try:
        read_header(path)
    except InvalidArgument:
        return False
    return True


def _begins_as_object(path: Path) -> bool:
    with reading(path), open_stream(path) as stream:
        return stream.read(1) == b"{"


def _only(path: Path, named: str | None, fitting: list[str], known: Sequence[str]) -> str:
    if len(fitting) == 1:
        if fitting[0] in known:
            return fitting[0]
        raise _not_one_of(path, fitting[0], known)
    if fitting:
        raise bad_file(
            path,
            f"its size fits {' and '.join(fitting)}",
            hint="Say which by format=",
            reason="AMBIGUOUS_FORMAT",
        )
    if named is not None:
        return named  # its reader tells what is wrong
    raise bad_file(
        path,
        "is of no format that its name or its first bytes tell",
        hint=f"Name it with format=, one of {', '.join(known)}",
        reason="UNKNOWN_FORMAT",
    )


def _not_one_of(path: Path, found: str, known: Sequence[str]) -> InvalidArgument:
    if known is FORMATS:
        message, hint = "ground truth, not vectors", "Name its vectors, and this file by truth="
    else:
        message, hint = "vectors, not ground truth", "Name the file of their nearest rows"
    return bad_file(path, f"is {message}: it reads as {found}", hint=hint, reason="WRONG_KIND")
