"""Log lines: JSON, levels, and what stays out of them."""

from __future__ import annotations

import io
import json
import logging
import threading
import warnings

import pytest

from vecdb_server import logs

SECRET = "the-value-of-somebody"


@pytest.fixture
def stream():
    return io.StringIO()


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def raised(error):
    try:
        raise error
    except Exception as caught:
        return caught


def test_line_begins_with_time_level_event(stream):
    logs.make_logger(stream=stream).info("ready", address="x")
    (line,) = lines(stream)
    assert list(line) == ["time", "level", "event", "address"]
    assert (line["level"], line["event"], line["address"]) == ("info", "ready", "x")
    assert line["time"].endswith("Z")


@pytest.mark.parametrize(
    ("level", "kept"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)]
)
def test_lines_below_the_level_are_dropped(stream, level, kept):
    log = logs.make_logger(level, stream=stream)
    for write in (log.debug, log.info, log.warning, log.error):
        write("x")
    assert len(lines(stream)) == kept


def test_lines_for_people_are_not_json(stream):
    logs.make_logger(people=True, stream=stream).info("ready", address="x")
    assert "ready" in stream.getvalue()
    with pytest.raises(json.JSONDecodeError):
        lines(stream)


def test_bug_is_told_by_kind_and_place(stream):
    error_id = logs.log_bug(
        logs.make_logger(stream=stream), "bug", raised(KeyError(SECRET)), method="/m"
    )
    (line,) = lines(stream)
    assert line["error"] == "KeyError"
    assert line["error_id"] == error_id
    assert line["method"] == "/m"
    assert any(__file__ in frame for frame in line["traceback"])
    assert SECRET not in stream.getvalue()


def test_broken_invariant_is_told_in_full(stream):
    logs.log_bug(logs.make_logger(stream=stream), "bug", raised(AssertionError("3 pages, not 4")))
    assert lines(stream)[0]["text"] == "3 pages, not 4"


def test_two_bugs_have_two_ids(stream):
    log = logs.make_logger(stream=stream)
    assert logs.log_bug(log, "bug", ValueError()) != logs.log_bug(log, "bug", ValueError())


@pytest.fixture
def library(stream):
    """A logger of the standard module, routed to ``stream`` and put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hook = threading.excepthook
    with warnings.catch_warnings():
        logs.route_library_logs(logs.make_logger(stream=stream))
        yield logging.getLogger("grpc._server")
        logging.captureWarnings(False)
    root.handlers[:], threading.excepthook = handlers, hook
    root.setLevel(level)


def test_libraries_log_lines_like_ours(stream, library):
    library.warning("a %s", "sentence")
    library.info("below the level of libraries")
    (line,) = lines(stream)
    assert (line["event"], line["level"]) == ("library", "warning")
    assert (line["logger"], line["text"]) == ("grpc._server", "a sentence")


def test_exception_of_a_library_is_told_by_kind_and_place(stream, library):
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        library.exception("Exception calling application: %s", error)
    (line,) = lines(stream)
    assert (line["event"], line["error"], line["logger"]) == (
        "library_failed",
        "ValueError",
        "grpc._server",
    )
    assert SECRET not in stream.getvalue()


def test_thread_that_fails_is_logged(stream, library):
    def fail():
        raise ValueError(SECRET)

    thread = threading.Thread(target=fail, name="worker")
    thread.start()
    thread.join()
    (line,) = lines(stream)
    assert (line["event"], line["error"]) == ("thread_failed", "ValueError")
    assert SECRET not in stream.getvalue()
