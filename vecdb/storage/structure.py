"""Whether LMDB's pages fit together: every page read once, without mapping the file.

Our checksums tell a wrong value; a page that is missing, old or in another's place shows here only.
"""

from __future__ import annotations

from pathlib import Path

from .files import DATA_FILE, check_data_file
from .lmdb_errors import damaged_file

SMALL_BYTES = 16 * 1024 * 1024
"""A file up to this size is checked whenever it is opened: about 0.1 s for the largest."""
_TRIES = 3


def find_damage(directory: Path) -> list[str]:
    """What is wrong with the pages of ``data.mdb``, in LMDB's words; [] if nothing is.

    Reads the whole file, about 130 MB a second. A process may be writing meanwhile: what commits
    have overtaken is read again, and if they keep on doing so, [].
    """
    from lmdb.verify import VerifyError, verify

    for _ in range(_TRIES):
        before = check_data_file(directory)
        if before is None:
            return []
        try:
            found = verify(str(directory / DATA_FILE), subdir=False)  # type: ignore[no-untyped-call]
        except VerifyError as error:
            found = [str(error)]
        if not found:
            return []
        after = check_data_file(directory)
        if after is not None and after.transaction == before.transaction:
            return list(found)
    return []


def check_small_file(directory: Path) -> None:
    """Raise ``DataCorruption`` if the file is small and its pages do not fit together."""
    path = directory / DATA_FILE
    if not path.exists() or path.stat().st_size > SMALL_BYTES:
        return
    found = find_damage(directory)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise damaged_file(directory, f"{found[0]}{more}")
