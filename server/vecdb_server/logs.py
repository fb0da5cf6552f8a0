"""The log: one JSON object a line on stderr, or lines for people with ``--dev``.

Lines tell of calls by method, code, time and request id. They never hold a vector, a payload, a
filter's value or a key: an error of the caller is logged by its reason and field alone, and a
bug by where it happened.
"""

from __future__ import annotations

import logging
import secrets
import sys
import threading
import traceback
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog
from structlog.typing import FilteringBoundLogger, Processor

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
FRAMES = 20
"""Innermost frames of a traceback that a line holds."""


def make_logger(
    level: str = "info", *, people: bool = False, stream: TextIO | None = None
) -> FilteringBoundLogger:
    """A logger that writes to ``stream`` (stderr unless given) from any thread."""
    stream = stream or sys.stderr
    last: Processor = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty())
        if people
        else structlog.processors.JSONRenderer(default=str)
    )
    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            _put_first,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        cache_logger_on_first_use=True,
    )
    return logger


def route_library_logs(log: FilteringBoundLogger) -> None:
    """Send what libraries log by the standard module (gRPC does) through ``log``.

    Also what would end a thread unseen. For a process that is all server.
    """
    handler = _Bridge(log)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("vecdb").setLevel(logging.INFO)  # the engine: few lines, such as how it reads
    logging.captureWarnings(True)
    threading.excepthook = lambda args: log_bug(
        log, "thread_failed", args.exc_value or args.exc_type(), thread=str(args.thread)
    )


def log_bug(log: FilteringBoundLogger, event: str, error: BaseException, **values: Any) -> str:
    """Log an error of ours with its traceback; return the error_id that names the line.

    The text of most exceptions may hold a caller's values, so it stays out; broken invariants and
    errors of the system say nothing of these.
    """
    error_id = secrets.token_hex(8)
    text = str(error) if isinstance(error, AssertionError | OSError) else ""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    log.error(
        event,
        error_id=error_id,
        error=type(error).__name__,
        **({"text": text} if text else {}),
        traceback=[f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
        **values,
    )
    return error_id


class _Bridge(logging.Handler):
    """Standard records as lines of ours: logger and message; of an exception its kind and place."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1]:
            log_bug(self._log, "library_failed", record.exc_info[1], logger=record.name)
        else:
            level = min(record.levelno, logging.ERROR)
            self._log.log(level, "library", logger=record.name, text=record.getMessage())


def _put_first(
    logger: Any, method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Time, level and event lead the line."""
    first = {key: event.pop(key) for key in ("time", "level", "event") if key in event}
    return {**first, **event}
