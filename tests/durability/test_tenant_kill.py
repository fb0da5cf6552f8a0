"""SIGKILL while tenants are granted to, copied, deleted and swept: who sees what is never between.

``VECDB_KILLS=500`` runs that many rounds, without the limit of a minute.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).resolve().parent
KILLS = 60
SECONDS = 60.0
POINTS = 12
START_SECONDS = 600.0
"""The first start on a machine compiles the kernels."""


def crash(tmp_path: Path, *options: object, rounds: int = KILLS) -> dict[str, int]:
    """Run the crasher; its figures."""
    ended = subprocess.run(
        [sys.executable, str(FOLDER / "tenant_crasher.py"), str(tmp_path), *map(str, options)],
        env={name: value for name, value in os.environ.items() if not name.startswith("VECDB_")},
        capture_output=True,
        text=True,
        timeout=START_SECONDS + 10 * rounds,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told, figures = ended.stdout.splitlines()[-2:]
    print(told)
    return json.loads(figures)


def test_no_kill_leaves_who_sees_what_between_two_states(tmp_path, capsys):
    asked = int(os.environ.get("VECDB_KILLS", KILLS))
    seconds = SECONDS if asked <= KILLS else 1e9
    with capsys.disabled():
        print()
        figures = crash(tmp_path, "--kills", asked, "--seconds", seconds, rounds=asked)
    assert 0 < figures["kills"] <= asked
    assert figures["acknowledged"] > 0


def test_kill_at_each_step_of_a_grant_a_copy_an_end_and_a_sweep(tmp_path):
    figures = crash(tmp_path, "--points")
    assert figures["kills"] == 2 * POINTS
    assert figures["swept_later"] > 0
