"""What must be set before any test imports numba, and how hypothesis searches."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from pathlib import Path

from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent


def kernel_cache() -> Path:
    """A folder for compiled kernels that no change of a kernel's source leaves stale.

    numba looks only at the file of the kernel itself: after an edit of a function that it calls in
    another file, it would go on with the old code.
    """
    digest = hashlib.sha256(os.environ.get("NUMBA_BOUNDSCHECK", "").encode())
    for path in sorted((ROOT / "vecdb" / "kernels").glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return ROOT / ".pytest_cache" / f"numba-{digest.hexdigest()[:16]}"


assert "numba" not in sys.modules, "numba was imported before its cache folder was chosen"
os.environ["NUMBA_CACHE_DIR"] = str(kernel_cache())

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # So it is where a shell runs the tests in the background; tests of Ctrl-C need it, and children
    # inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")
