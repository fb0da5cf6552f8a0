"""The table of errors and codes: complete, and the same for both trees."""

from __future__ import annotations

import inspect

import grpc
import pytest

import vecdb.errors
import vecdb_client.errors
from vecdb.cli.failures import STATUSES
from vecdb.errors import DataCorruption, InvalidArgument, LimitExceeded, VecDBError
from vecdb_server import status


def classes(module) -> dict[str, type[Exception]]:
    return {
        name: kind
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, module.VecDBError)
    }


def test_table_covers_every_error_of_the_engine_and_nothing_else():
    assert status.CODES.keys() == classes(vecdb.errors).keys()


def test_both_trees_have_the_same_names_and_parents():
    def parents(module):
        return {
            name: [base.__name__ for base in kind.__mro__] for name, kind in classes(module).items()
        }

    assert parents(vecdb.errors) == parents(vecdb_client.errors)


@pytest.mark.parametrize("module", [vecdb.errors, vecdb_client.errors])
@pytest.mark.parametrize("name", sorted(set(status.CODES) - {"UploadFailed"}))
def test_errors_of_both_trees_map_by_name(module, name):
    error = getattr(module, name)("a sentence", hint="Do this")
    assert status.kind_of(error) == name
    assert status.code_of(error) is status.CODES[name]
    assert status.detail_of(error).kind == name


def test_subclass_maps_as_its_nearest_known_parent():
    class Narrower(DataCorruption):
        pass

    assert status.kind_of(Narrower("x")) == "DataCorruption"
    assert status.code_of(Narrower("x")) is grpc.StatusCode.DATA_LOSS


def test_unknown_errors_are_bugs():
    assert status.kind_of(ValueError("x")) is None
    assert status.code_of(ValueError("x")) is grpc.StatusCode.INTERNAL


def test_absent_numbers_stay_absent():
    detail = status.detail_of(InvalidArgument("x"))
    assert not detail.HasField("limit")
    assert not detail.HasField("actual")
    assert not detail.HasField("retry_after_ms")


@pytest.mark.parametrize(
    ("seconds", "ms"), [(0.0, 0), (0.0001, 1), (1.5, 1500), (1e12, 2**32 - 1), (-1.0, 0)]
)
def test_retry_after_is_rounded_up_to_milliseconds(seconds, ms):
    assert status.detail_of(LimitExceeded("x", retry_after=seconds)).retry_after_ms == ms


def test_numbers_that_do_not_fit_are_cut():
    detail = status.detail_of(LimitExceeded("x", limit=2**80, actual=-(2**80)))
    assert (detail.limit, detail.actual) == (2**63 - 1, -(2**63))


def test_flags_travel():
    error = VecDBError("x", maybe_applied=True, error_id="e1", reason="R")
    detail = status.detail_of(error)
    assert (detail.maybe_applied, detail.error_id, detail.reason) == (True, "e1", "R")


@pytest.mark.parametrize("text", ["a" * 50, "ü" * 50, "漢" * 50, "\ud800" * 50])
@pytest.mark.parametrize("size", range(10, 30))
def test_cut_text_is_valid_and_short(text, size):
    cut = status.cut(text, size)
    assert len(cut.encode()) <= size
    assert cut.endswith("…")


def test_short_text_is_not_cut():
    assert status.cut("as it is", 8) == "as it is"


def test_largest_detail_fits_the_headers_of_grpc():
    error = InvalidArgument("漢" * 9000, field="漢" * 9000, hint="漢" * 9000, reason="R" * 40)
    detail = status.detail_of(error)
    percent_encoded = 3 * len(status.text_of(detail).encode())
    base64 = 4 * len(detail.SerializeToString()) / 3
    assert percent_encoded + base64 < 8_000


def test_every_exit_status_is_of_a_known_error():
    assert STATUSES.keys() <= status.CODES.keys()
