"""The kernels' tests once more: interpreted, and compiled with every index checked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent
MODES = ("NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK")


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_kernels_behave_alike_in_every_mode(mode):
    result = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *(f"--ignore={__file__}", str(FOLDER)),
        ],
        env={**os.environ, mode: "1"},
        cwd=FOLDER.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-4_000:] + result.stderr[-2_000:]
    assert " passed" in result.stdout
