"""An import that was interrupted goes on where it stopped, and nowhere else."""

from __future__ import annotations

import io
import json
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import vecdb
from vecdb.cli import import_job, importing
from vecdb.cli.import_state import SUFFIX, Progress, StateFile

VECDB = Path(sys.executable).with_name("vecdb")
BLOCK = 4096
"""Rows that a reader gives at a time, and so the smallest block."""
ROWS = 3 * BLOCK + 5
SECONDS_MAX = 300


def matrix(rows: int = ROWS, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, 4)).astype(np.float32)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch) -> None:
    monkeypatch.setattr(import_job, "BLOCK_RECORDS", BLOCK)


@pytest.fixture
def data(tmp_path) -> Path:
    path = tmp_path / "data.npy"
    np.save(path, matrix())
    return path


@pytest.fixture
def after(monkeypatch) -> Callable[[int, Callable[[], object]], None]:
    """``after(n, act)``: acts once n records of the next import are settled."""

    def arrange(records: int, act: Callable[[], object]) -> None:
        class Acting:
            def show(self, settled: int, size: int) -> None:
                if settled >= records:
                    monkeypatch.setattr(importing, "open_meter", before)
                    act()

        @contextmanager
        def open_meter(*_):
            yield Acting()

        monkeypatch.setattr(importing, "open_meter", open_meter)

    before = importing.open_meter
    return arrange


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def state_of(path: Path) -> dict:
    return json.loads(path.with_name(path.name + SUFFIX).read_text())


def assert_complete(collection, rows: np.ndarray) -> None:
    assert collection.count() == len(rows)
    for start in range(0, len(rows), 5_000):
        ids = list(range(start, min(start + 5_000, len(rows))))
        assert np.array_equal(collection.get(ids, with_vector=True).vectors, rows[ids])


def test_interrupted_import_goes_on_with_the_command_it_prints(run, place, data, after):
    after(BLOCK + 1, press_ctrl_c)
    result = run("import", data, "-c", "docs", *place.options)
    assert result.status == 130
    error, hint = result.err.splitlines()[-2:]
    assert error == f"error: interrupted after {BLOCK:,} records"
    assert state_of(data)["row"] == BLOCK
    words = shlex.split(hint.removeprefix("hint: To go on: "))
    assert words == ["vecdb", "import", str(data), "-c", "docs", *place.options, "--resume"]
    result = run(*words[1:])
    assert result.status == 0
    assert result.err.startswith(f"going on after {BLOCK:,} records\n")
    assert f"imported {ROWS - BLOCK:,} records" in result.err
    assert_complete(place.database.collection("docs"), matrix())
    assert not data.with_name(data.name + SUFFIX).exists()


def test_interrupt_is_json_where_json_was_asked_for(run, local, data, after):
    after(1, press_ctrl_c)
    result = run("import", data, "-c", "docs", "-o", "json", *local.options)
    assert (result.status, result.out) == (130, "")
    error = json.loads(result.err)["error"]
    assert (error["code"], error["message"]) == ("Interrupted", "interrupted after 0 records")
    assert error["hint"].endswith("--resume")


def test_interrupt_in_the_second_file_keeps_the_numbers_of_its_rows(run, place, data, after):
    second = data.with_name("more.npy")
    np.save(second, matrix(2 * BLOCK, seed=6))
    after(ROWS + BLOCK + 1, press_ctrl_c)
    words = ["import", data, second, "-c", "docs", *place.options]
    assert run(*words).status == 130
    assert (state_of(data)["file"], state_of(data)["row"]) == (1, BLOCK)
    assert run(*words, "--resume").status == 0
    both = np.vstack([matrix(), matrix(2 * BLOCK, seed=6)])
    assert_complete(place.database.collection("docs"), both)


def test_import_ended_by_a_bad_record_goes_on_when_told_to_collect(run, place, data):
    rows = matrix()
    rows[BLOCK + 7] = 0.0
    np.save(data, rows)
    words = ["import", data, "-c", "docs", *place.options]
    result = run(*words)
    assert result.status == 1
    assert f"the first, id {BLOCK + 7}: its vector is all zeros" in result.err
    assert f"--on-error collect writes refused records to {data}.rejected.jsonl" in result.err
    assert result.err.rstrip().endswith("--resume")
    result = run(*words, "--resume", "--on-error", "collect")
    assert result.status == 0
    assert place.database.collection("docs").count() == ROWS - 1
    (line,) = data.with_name("data.npy.rejected.jsonl").read_text().splitlines()
    assert json.loads(line)["id"] == BLOCK + 7


@pytest.fixture
def interrupted(run, local, data, after):
    """Words of an import into a directory that was interrupted after its first block."""
    after(BLOCK + 1, press_ctrl_c)
    words = ["import", data, "-c", "docs", *local.options]
    assert run(*words).status == 130
    return words


def assert_refused(result, said: str) -> None:
    assert result.status == 6
    assert said in result.err
    assert "hint: Without --resume it starts over" in result.err


def test_changed_file_is_not_resumed(run, interrupted, data):
    np.save(data, matrix(ROWS + 1))
    assert_refused(run(*interrupted, "--resume"), "has changed since")


def test_file_written_again_is_not_resumed(run, interrupted, data):
    np.save(data, matrix(seed=6))
    assert_refused(run(*interrupted, "--resume"), "has been written since")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["-c", "other"], "it went to the collection 'docs'"),
        (["--limit", "9"], "it had other options"),
        (["--first-id", "9"], "it had other options"),
    ],
)
def test_other_import_of_the_file_is_not_resumed(run, interrupted, more, said):
    assert_refused(run(*interrupted, "--resume", *more), said)


def test_other_database_is_not_resumed(run, interrupted, tmp_path):
    words = [*interrupted, "--resume", "--dir", tmp_path / "elsewhere"]
    assert_refused(run(*words), "it went to another database")


def test_other_files_are_not_resumed(run, interrupted, data):
    second = data.with_name("more.npy")
    np.save(second, matrix(10))
    assert_refused(run(*interrupted, "--resume", second), f"it was of {data.resolve()}")


def test_lost_collection_is_not_resumed(run, interrupted, local):
    local.database.delete_collection("docs")
    assert_refused(run(*interrupted, "--resume"), f"docs has lost its {BLOCK:,} records")


def test_without_resume_it_starts_over_and_says_so(run, interrupted, local):
    result = run(*interrupted)
    assert result.status == 0
    assert f"stopped after {BLOCK:,} records: --resume would have gone on" in result.err
    assert_complete(local.database.collection("docs"), matrix())


def test_nothing_to_resume_starts_at_the_first_row(run, local, data):
    result = run("import", data, "-c", "docs", "--resume", *local.options)
    assert result.status == 0
    assert result.err.startswith(f"nothing to resume: no {data}{SUFFIX}")
    assert_complete(local.database.collection("docs"), matrix())


def test_import_that_stored_nothing_leaves_no_state(run, local, tmp_path):
    path = tmp_path / "zeros.npy"
    np.save(path, np.zeros((3, 4), np.float32))
    result = run("import", path, "-c", "docs", *local.options)
    assert result.status == 1
    assert "--resume" not in result.err
    assert not path.with_name(path.name + SUFFIX).exists()


def test_state_that_cannot_be_written_is_said_and_no_end(run, local, data, after):
    data.with_name(data.name + SUFFIX).mkdir()
    words = ["import", data, "-c", "docs", *local.options]
    result = run(*words, "--quiet")
    assert result.status == 0
    assert result.err.startswith(f"warning: cannot write {data}{SUFFIX} (Is a directory)")
    assert "--state FILE keeps it elsewhere" in result.err
    assert local.database.collection("docs").count() == ROWS
    after(BLOCK + 1, press_ctrl_c)
    assert "--resume" not in run(*words, "--quiet").err.splitlines()[-1]


def test_state_is_kept_where_told(run, local, data, after, tmp_path):
    state = tmp_path / "elsewhere.json"
    after(BLOCK + 1, press_ctrl_c)
    words = ["import", data, "-c", "docs", "--state", state, *local.options]
    assert run(*words).status == 130
    assert json.loads(state.read_text())["row"] == BLOCK
    assert run(*words, "--resume").status == 0
    assert_complete(local.database.collection("docs"), matrix())
    assert not state.exists()


def test_state_named_that_cannot_be_written_ends_the_import(run, local, data, tmp_path):
    state = tmp_path / "none" / "state.json"
    assert run("import", data, "-c", "docs", "--state", state, *local.options).status == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 99}', '{"version": 1, "x": 2}'])
def test_state_that_cannot_be_read_is_not_resumed(run, local, data, text):
    data.with_name(data.name + SUFFIX).write_text(text)
    words = ["import", data, "-c", "docs", *local.options]
    result = run(*words, "--resume")
    assert result.status == 6
    assert "is not the state of an import that this program reads" in result.err
    assert run(*words).status == 0


def test_block_sent_again_has_the_same_upload_id_and_no_other(tmp_path):
    first = Progress(import_id="a", plan={})
    file = StateFile(tmp_path / "state.json")
    file.save(first)
    assert file.load() == first
    assert file.load().upload_id == first.upload_id
    others = [
        Progress(import_id="b", plan={}),
        Progress(import_id="a", plan={}, row=1),
        Progress(import_id="a", plan={}, file=1),
    ]
    assert len({first.upload_id, *(other.upload_id for other in others)}) == 4
    assert re.fullmatch("[0-9a-f]{32}", first.upload_id)


@pytest.mark.slow
def test_import_goes_on_after_its_server_went_away(run, data, after, tmp_path):
    from vecdb_server import logs
    from vecdb_server.config import ServerConfig
    from vecdb_server.lifecycle import Server

    def serve() -> Server:
        config = ServerConfig(directory=tmp_path / "db", listen="127.0.0.1:0", drain_seconds=0.0)
        server = Server(config, log=logs.make_logger("debug", stream=io.StringIO()))
        server.start()
        return server

    server = serve()
    after(BLOCK + 1, lambda: server.stop(0.0))
    words = ["import", data, "-c", "docs", "--timeout", "1"]
    result = run(*words, "--at", server.address)
    assert result.status == 3
    assert "resume=" not in result.err
    assert result.err.rstrip().endswith("--resume")
    server = serve()
    assert run(*words, "--at", server.address, "--resume").status == 0
    server.stop(0.0)
    with vecdb.open(tmp_path / "db") as database:
        assert_complete(database.collection("docs"), matrix())


@pytest.mark.slow
def test_process_that_is_interrupted_goes_on_in_another(tmp_path):
    data = tmp_path / "data.npy"
    rows = matrix(6 * import_job.BLOCK_RECORDS * 16)  # as many of the real blocks
    np.save(data, rows)
    state = StateFile(data.with_name(data.name + SUFFIX))
    command = [str(VECDB), "import", str(data), "-c", "docs", "--dir", str(tmp_path / "db")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + SECONDS_MAX
        while not (found := state.load()) or not found.settled:
            assert process.poll() is None
            assert time.monotonic() < until
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 130
    assert "error: interrupted after" in err
    assert "Traceback" not in err
    subprocess.run([*command, "--resume"], capture_output=True, check=True, timeout=SECONDS_MAX)
    with vecdb.open(tmp_path / "db") as database:
        assert database.collection("docs").count() == len(rows)
