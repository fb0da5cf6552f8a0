"""Whether LMDB's pages fit together: every page read once, without mapping the file.

Our checksums tell a wrong value; a page that is missing, old or in another's place shows here only.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import DataCorruption
from .files import DATA_FILE, check_data_file
from .lmdb_errors import damaged_file

SMALL_BYTES = 16 * 1024 * 1024
"""A file up to this size is checked whenever it is opened: about 0.2 s for the largest."""
_TRIES = 3


def find_damage(directory: Path) -> list[str]:
    """What is wrong with the pages of ``data.mdb``, in LMDB's words; [] if nothing is.

    Reads the whole file, about 100 MB a second. A process may be writing meanwhile: what commits
    have overtaken is read again, and if they keep on doing so, [].
    """
    for _ in range(_TRIES):
        try:
            before = check_data_file(directory)
            if before is None:
                return []
            found = _verify(directory / DATA_FILE)
            after = check_data_file(directory)
        except DataCorruption as error:
            return [error.message]
        if not found:
            return []
        if after is not None and after.transaction == before.transaction:
            return found
    return []


def _verify(path: Path) -> list[str]:
    from lmdb.verify import VerifyError, verify

    try:
        return list(verify(str(path), subdir=False))  # type: ignore[no-untyped-call]
    except VerifyError as error:
        return [str(error)]


def check_small_file(directory: Path) -> None:
    """Raise ``DataCorruption`` if the file is small and its pages do not fit together."""
    path = directory / DATA_FILE
    if not path.exists() or path.stat().st_size > SMALL_BYTES:
        return
    found = find_damage(directory)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise damaged_file(directory, f"{found[0]}{more}")
