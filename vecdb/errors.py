"""Errors, classed by who is at fault.

::

    VecDBError
    ├── InvalidArgument        the caller: a value is wrong; the same call never succeeds
    ├── PreconditionFailed     the caller: a condition of the call did not hold; nothing applied
    ├── NotFound               the caller: no such collection, alias or record
    ├── AlreadyExists          the caller: the name is taken
    ├── Unauthenticated        the caller: no key, or an unknown one
    ├── PermissionDenied       the caller: the key may not do this
    ├── LimitExceeded          the moment, where `retry_after` is set; else the caller
    ├── Conflict               the moment: try again
    ├── Unavailable            the moment: starting, draining, locked or closed
    ├── DeadlineExceeded       the moment: out of time (`maybe_applied` tells of a write)
    ├── UploadFailed           part of an upload was refused (`report` tells which)
    └── StorageError           the disk
        ├── DataCorruption     bytes read back are not the bytes written
        └── UnsupportedFormat  written by another version

Messages say what was expected, what came, and what to do. They never hold a payload, a vector, a
filter value or a key. A broken invariant of ours is an ``AssertionError`` and is never caught.
The client carries a generated copy of this file, so both raise the same names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from .results import UploadReport

__all__ = [
    "AlreadyExists",
    "Conflict",
    "DataCorruption",
    "DeadlineExceeded",
    "InvalidArgument",
    "LimitExceeded",
    "NotFound",
    "PermissionDenied",
    "PreconditionFailed",
    "StorageError",
    "Unauthenticated",
    "Unavailable",
    "UnsupportedFormat",
    "UploadFailed",
    "VecDBError",
]


class VecDBError(Exception):
    """Anything that this database raises on purpose.

    ``message`` is the sentence for people; the attributes are for programs:

    - ``reason``: a stable word in capitals, such as ``UNKNOWN_FIELD``
    - ``field``: the offending argument and position, such as ``vectors[3]``
    - ``limit``, ``actual``: the bound and what came, where a bound was crossed
    - ``hint``: what to do about it
    - ``retry_after``: seconds after which the same call may succeed, or None
    - ``maybe_applied``: a write may have taken effect although it failed
    - ``error_id``: names the log line of an internal error
    """

    reason_default: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        field: str = "",
        limit: int | None = None,
        actual: int | None = None,
        hint: str = "",
        retry_after: float | None = None,
        maybe_applied: bool = False,
        error_id: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.reason_default
        self.field = field
        self.limit = limit
        self.actual = actual
        self.hint = hint
        self.retry_after = retry_after
        self.maybe_applied = maybe_applied
        self.error_id = error_id

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message

    def detail(self) -> dict[str, Any]:
        """The attributes as a dict: what travels beside the message."""
        return {
            "reason": self.reason,
            "field": self.field,
            "limit": self.limit,
            "actual": self.actual,
            "hint": self.hint,
            "retry_after": self.retry_after,
            "maybe_applied": self.maybe_applied,
            "error_id": self.error_id,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.message, self.__dict__.copy()))


def _rebuild(kind: type[VecDBError], message: str, state: dict[str, Any]) -> VecDBError:
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


class InvalidArgument(VecDBError):
    reason_default = "INVALID_ARGUMENT"


class PreconditionFailed(VecDBError):
    reason_default = "PRECONDITION_FAILED"


class NotFound(VecDBError):
    reason_default = "NOT_FOUND"


class AlreadyExists(VecDBError):
    reason_default = "ALREADY_EXISTS"


class Unauthenticated(VecDBError):
    reason_default = "UNAUTHENTICATED"


class PermissionDenied(VecDBError):
    reason_default = "PERMISSION_DENIED"


class LimitExceeded(VecDBError):
    reason_default = "LIMIT_EXCEEDED"


class Conflict(VecDBError):
    reason_default = "CONFLICT"


class Unavailable(VecDBError):
    reason_default = "UNAVAILABLE"


class DeadlineExceeded(VecDBError):
    reason_default = "DEADLINE_EXCEEDED"


class UploadFailed(VecDBError):
    """Some records of an upload were refused; ``report`` is the whole ``UploadReport``."""

    reason_default = "UPLOAD_FAILED"
    report: UploadReport

    def __init__(self, message: str, *, report: UploadReport, **detail: Any) -> None:
        super().__init__(message, **detail)
        self.report = report


class StorageError(VecDBError):
    reason_default = "STORAGE"


class DataCorruption(StorageError):
    """``path`` and ``offset`` tell where (offset -1: a key, named in the message)."""

    reason_default = "DATA_CORRUPTION"

    def __init__(self, message: str, *, path: str = "", offset: int = -1, **detail: Any) -> None:
        super().__init__(message, **detail)
        self.path = path
        self.offset = offset


class UnsupportedFormat(StorageError):
    """``found`` is the version on disk, ``supported`` the newest that this program reads."""

    reason_default = "UNSUPPORTED_FORMAT"

    def __init__(self, message: str, *, found: int = 0, supported: int = 0, **detail: Any) -> None:
        super().__init__(message, **detail)
        self.found = found
        self.supported = supported
