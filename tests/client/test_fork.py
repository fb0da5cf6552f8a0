"""Forked children of a process with an open client call without failures; see ``forking.py``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parent / "forking.py"
SECONDS = 300.0

pytestmark = pytest.mark.slow


def run_forking(name: str, target: object, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}
    return subprocess.run(
        [sys.executable, str(PROGRAM), name, str(target)],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.mark.parametrize(
    "name", ["open_channel", "no_channel", "upload", "asyncio_channel", "asyncio_closed"]
)
def test_eight_forked_children_call_without_a_failure(peer, name):
    ended = run_forking(name, peer.address)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout == f"{[0] * 8}\n"


def test_engine_opened_before_a_fork_is_of_no_use_to_the_child(tmp_path):
    ended = run_forking("engine", tmp_path / "db")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_client_warns_where_the_environment_makes_forked_children_hang(peer):
    ended = run_forking("no_channel", peer.address, GRPC_ENABLE_FORK_SUPPORT="0")
    assert "start processes by 'spawn'" in ended.stderr
