"""``grpc.health.v1`` without its package: its two messages have one field each."""

from __future__ import annotations

from typing import Final

from .errors import Unavailable
from .requests import Request

READY: Final = b"vecdb.v1.Records"
"""The service whose health tells that the server is ready for calls."""
SERVING: Final = b"\x08\x01"
"""HealthCheckResponse{status = 1: SERVING}: field 1, a varint."""


def check() -> Request:
    """Ask whether the server is ready; the answer is a bool."""
    return Request(
        package="grpc.health.v1",
        service="Health",
        method="Check",
        data=b"\x0a" + bytes([len(READY)]) + READY,  # field 1, a string
        parse=SERVING.__eq__,
    )


def not_ready(address: str) -> Unavailable:
    """The server answers, but not yet calls."""
    return Unavailable(
        f"the server at {address} is starting or draining", hint="Wait longer, or look at its log"
    )
