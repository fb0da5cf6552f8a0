"""The sample that ships with the server is whole, licensed and small."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from vecdb_server import demo_data, tour

FOLDER = demo_data.FOLDER
SIZE_BYTES_MAX = 9_500_000


@pytest.fixture(scope="module")
def data() -> demo_data.DemoData:
    return demo_data.load()


def test_every_file_has_its_published_checksum():
    published = {
        name: digest
        for digest, name in (
            line.split() for line in (FOLDER / "SHA256SUMS").read_text().splitlines()
        )
    }
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in FOLDER.iterdir()
        if path.is_file() and path.name not in ("SHA256SUMS", "__init__.py")
    }
    assert found == published


def test_source_and_licence_stand_beside_the_data():
    readme = (FOLDER / "README.md").read_text()
    assert "Debian 12" in readme
    assert "bench/make_demo_data.py" in readme
    licence = (FOLDER / "LICENSE").read_text()
    assert "Debian Free Software Guidelines" in licence
    assert "Apache" in licence


def test_folder_stays_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) <= SIZE_BYTES_MAX


def test_rows_and_vectors_belong_together(data):
    count = len(data.names)
    assert count == 10_000
    assert len(data.payloads) == count
    assert data.vectors.shape == (count, 384)
    assert len(set(data.names)) == count
    assert data.question_vectors.shape == (len(data.questions), 384)
    assert data.queries.shape == (500, 384)


def test_vectors_have_length_one_up_to_float16(data):
    for vectors in (data.vectors, data.question_vectors, data.queries):
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=2e-3)


def test_payloads_hold_the_declared_fields_with_their_types(data):
    for payload in data.payloads:
        assert set(payload) == {"name", "summary", *demo_data.FIELDS}
        assert isinstance(payload["section"], str)
        assert isinstance(payload["arch"], str)
        assert type(payload["installed_kb"]) is int
        assert all(isinstance(tag, str) for tag in payload["tags"])


def test_every_question_of_the_tour_ships_with_its_vector(data):
    asked = {*tour.QUESTIONS, *(text for text, _, _ in tour.FILTERED)}
    assert asked <= set(data.questions)
    with pytest.raises(ValueError, match="not in"):
        data.question_vector("a question that nobody embedded")


def test_filters_are_shown_as_they_are_written():
    for _, written, condition in tour.FILTERED:
        assert eval(written, {"F": tour.F}).to_dict() == condition.to_dict()
