"""SIGKILL while tenants are granted to, copied, deleted and swept: who sees what is never between.

``VECDB_KILLS=500`` runs that many rounds, without the limit of a minute.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).resolve().parent
KILLS = 60
SECONDS = 60.0
POINTS = 12


def test_no_kill_leaves_who_sees_what_between_two_states(crash, capsys):
    asked = int(os.environ.get("VECDB_KILLS", KILLS))
    seconds = SECONDS if asked <= KILLS else 1e9
    with capsys.disabled():
        print()
        figures = crash("tenant_crasher.py", "--kills", asked, "--seconds", seconds, rounds=asked)
    assert 0 < figures["kills"] <= asked
    assert figures["acknowledged"] > 0


def test_kill_at_each_step_of_a_grant_a_copy_an_end_and_a_sweep(crash):
    figures = crash("tenant_crasher.py", "--points", rounds=KILLS)
    assert figures["kills"] == 2 * POINTS
    assert figures["swept_later"] > 0
