"""A question at the door: its category, scope, prompt and vector, each checked before use."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidArgument
from .guards import NO_GUARD, sign_prompt
from .index import PartitionKey
from .policy import Category, Policy
from .prompts import check_prompt, check_vector, digest_prompt, digest_vector, normalise
from .scope import Scoped, Scopes

VectorSource = Any
"""f32[dim], or a function that makes one: called only where the exact tier does not answer."""


class Question:
    """Used by one thread. The vector is made, and the guard computed, when first asked for."""

    __slots__ = (
        *("category", "digest_or_none", "embed_ns", "policy", "prompt", "scoped"),
        *("_dim", "_embed", "_guard", "_secret", "_source", "_vector"),
    )

    def __init__(
        self,
        *,
        policy: Policy,
        scopes: Scopes,
        secret: bytes,
        dim: int,
        vector: VectorSource,
        category: str,
        scope: Any,
        prompt: str | None,
        embed: Callable[[str], Any] | None,
    ) -> None:
        self.policy = policy
        found = policy.categories.get(category) if isinstance(category, str) else None
        if found is None:
            raise unknown_category(policy, category)
        self.category: Category = found
        self.scoped: Scoped = scopes.check(scope)
        self._secret, self._dim = secret, dim
        self._source, self._embed = vector, embed
        self._vector: NDArray[np.float32] | None = None
        self._guard: bytes | None = None
        self.embed_ns = 0
        self.prompt = check_prompt(prompt)
        self.digest_or_none: bytes | None = None
        if vector is not None and not callable(vector):
            self._vector = check_vector(vector, dim)
        elif vector is None and (embed is None or prompt is None):
            raise InvalidArgument(
                "vector is missing: give one, a function that makes one, or a prompt to a cache "
                "that was opened with embed=",
                field="vector",
            )
        if self.prompt is not None and found.allow_caching:
            self.prompt = normalise(self.prompt, fold_case=found.fold_case)
            self.digest_or_none = digest_prompt(
                secret, self.scoped.fingerprint, found.name, self.prompt
            )

    @property
    def key(self) -> PartitionKey:
        return self.scoped.fingerprint, self.category.name

    @property
    def has_vector(self) -> bool:
        """Whether the vector is known without calling anything."""
        return self._vector is not None

    @property
    def digest(self) -> bytes:
        """What the exact tier looks up: of the prompt, or without one of the vector."""
        if self.digest_or_none is None:
            self.digest_or_none = digest_vector(
                self._secret, self.scoped.fingerprint, self.category.name, self.vector
            )
        return self.digest_or_none

    @property
    def vector(self) -> NDArray[np.float32]:
        """f32[dim] of length 1."""
        if self._vector is None:
            began = time.perf_counter_ns()
            if self._source is not None:
                made = self._source()
            elif self._embed is not None and self.prompt is not None:
                made = self._embed(self.prompt)
            else:
                raise AssertionError("checked at the door")
            self.embed_ns = time.perf_counter_ns() - began
            self._vector = check_vector(made, self._dim)
        return self._vector

    @property
    def prompt_bytes(self) -> bytes:
        """The normalised prompt as it is stored; b"" without one."""
        return b"" if self.prompt is None else self.prompt.encode("utf-8", "surrogatepass")

    @property
    def guard(self) -> bytes:
        if self._guard is None:
            self._guard = NO_GUARD if self.prompt is None else sign_prompt(self.prompt)
        return self._guard


def unknown_category(policy: Policy, category: object) -> InvalidArgument:
    return InvalidArgument(
        f"there is no category {str(category)[:60]!r}",
        field="category",
        reason="UNKNOWN_CATEGORY",
        hint=f"The policy has {', '.join(sorted(policy.categories))}",
    )
