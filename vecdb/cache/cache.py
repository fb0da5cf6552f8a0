"""The public face of one cache: ``Database.cache(name)``.

An application asks it before it asks its model. Similarity is cosine in every call, higher is
nearer; a threshold is in (0, 1]. A scope is part of every question and every answer, and there is
no way to ask across scopes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..cache_results import Hit, Invalidation, Lookup, PutResult
from ..errors import InvalidArgument, LimitExceeded
from . import fields, writing
from .background import Background
from .computing import Computing
from .engine import Engine
from .housekeeping import Housekeeper
from .invalidation import Targets, find_targets
from .learning import Judge, judge_hit, learn
from .load import load_of
from .lookup import LookupRun, Verify
from .offers import Offer, make_offer
from .policy_parse import PolicySource, asked_version, parse_policy
from .preview import preview
from .question import Question, VectorSource, unknown_category
from .reporting import explain, report
from .scope import Scope
from .tickets import read_ticket


class Cache:
    """A handle; any number of them share one index. Safe for any thread, not across ``fork``."""

    def __init__(
        self,
        engine: Engine,
        house: Housekeeper,
        *,
        embed: Callable[[str], Any] | None,
        judge: Judge | None,
        verify: Verify | None,
        background: Background,
    ) -> None:
        self._engine = engine
        self._house = house
        self._embed = embed
        self._judge = judge
        self._verify = verify
        self._background = background

    @property
    def name(self) -> str:
        return self._engine.row.name

    @property
    def dim(self) -> int:
        return self._engine.row.dim

    # ---------------------------------------------------------------------------------- asking

    def get(
        self,
        vector: VectorSource = None,
        *,
        category: str,
        scope: Scope,
        prompt: str | None = None,
    ) -> Hit | None:
        """The answer to a question that was answered before, in these words or in others.

        ``vector``: ``dim`` numbers, or a function that makes them, called only where the exact
        prompt is not known; None: ``embed`` of the handle makes them from ``prompt``. Without a
        prompt there is no exact tier for it, and guards are passed over or (policy) refuse.
        """
        return self.lookup(vector, category=category, scope=scope, prompt=prompt).hit

    def lookup(
        self,
        vector: VectorSource = None,
        *,
        category: str,
        scope: Scope,
        prompt: str | None = None,
    ) -> Lookup:
        """As ``get``, with why it missed, and the ticket for the ``put`` of the fresh answer."""
        question = self._question(vector, category, scope, prompt)
        return LookupRun(self._engine, question, self._verify).run()

    def put(
        self,
        vector: VectorSource = None,
        value: Any = None,
        *,
        category: str,
        scope: Scope,
        prompt: str | None = None,
        content_type: str | None = None,
        ttl: float | str | None = None,
        tags: Sequence[str] = (),
        sources: Sequence[Any] = (),
        meta: Mapping[str, Any] | None = None,
        negative: bool = False,
        ticket: str | None = None,
        wait: bool = False,
    ) -> PutResult:
        """Store an answer; a refusal by the policy is a result, not an error.

        - ``value``: text, bytes, or what JSON holds; ``negative``: there is no answer, for a while
        - ``ttl``: seconds, or "10m"; at most the category's longest. None: the category's
        - ``tags``, ``sources``: names to invalidate by; a source is (collection, id[, version])
        - ``meta``: an object of your own; its tokens, money and seconds count as what a hit saves
        - ``ticket``: of the lookup that missed, or of a hit that asked for an audit: the answer is
          not stored if what it rests on was invalidated since, and the pair is learned from
        - ``wait``: until it is synced; else it is queued, and lost if the process dies at once
        """
        question = self._question(vector, category, scope, prompt)
        offer = make_offer(
            value,
            content_type=content_type,
            ttl=ttl,
            tags=tags,
            sources=sources,
            meta=meta,
            negative=negative,
        )
        try:
            future = self._put(question, offer, ticket)
        except LimitExceeded as error:
            if error.reason != "QUEUE_FULL" or wait:
                raise
            future = writing.refused(self._engine, question.category, "busy")
        if wait or future.done():
            return future.result()
        return PutResult(stored=True, reason="queued")

    def get_or_compute(
        self,
        vector: VectorSource,
        compute: Callable[[], Any],
        *,
        category: str,
        scope: Scope,
        prompt: str | None = None,
        ttl: float | str | None = None,
        tags: Sequence[str] = (),
        sources: Sequence[Any] = (),
        meta: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """The cached value, or what ``compute()`` returns, which is then stored (None is not).

        ``compute`` runs once for all who ask the same at the same time, in these words or in
        others; its errors go to who ran it. Audits and refreshes run it in the background.
        ``timeout``: seconds to wait for somebody else's answer, then ``DeadlineExceeded``.
        """
        if timeout is not None:
            fields.amount("timeout", timeout)
        question = self._question(vector, category, scope, prompt)
        make = partial(
            make_offer, content_type=None, ttl=ttl, tags=tags, sources=sources, negative=False
        )
        if question.category.allow_caching:
            make("", meta=meta)  # what is wrong with the arguments is said before computing

        def store(
            asked: Question, value: Any, seconds: float, ticket: str | None
        ) -> Future[PutResult]:
            told = {"seconds": seconds} | dict(meta or {})
            return self._put(asked, make(value, meta=told), ticket)

        return Computing(
            self._engine,
            question,
            compute,
            store,
            verify=self._verify,
            timeout=timeout,
            background=self._background,
        ).run()

    # -------------------------------------------------------------------------------- steering

    def invalidate(
        self,
        *,
        tags: Sequence[str] | None = None,
        category: str | None = None,
        scope: Scope | None = None,
        sources: Sequence[Any] | None = None,
        everything: bool = False,
        dry_run: bool = False,
    ) -> Invalidation:
        """Have answers dead, for every process, when this returns: one kind of target a call.

        ``tags``: those with any of them; ``sources``: those that rest on any of them, in the
        version that is named, or in any; ``dry_run``: count, and change nothing.
        """
        targets: Targets = find_targets(
            self._engine,
            tags=tags,
            category=category,
            scope=scope,
            sources=sources,
            everything=everything,
        )
        done = writing.invalidate(self._engine, targets.floors, targets.entries, dry_run=dry_run)
        if not dry_run:
            for name, count in targets.categories.items():
                self._engine.tally.add(name, "invalidated", count)
        return done

    def feedback(self, hit: Hit, good: bool) -> None:
        """Say of a hit whether it was right. A wrong one is never given for that question again."""
        if not isinstance(hit, Hit):
            raise InvalidArgument("hit must be one that a lookup returned", field="hit")
        category = self._engine.policy.categories.get(hit.category)
        ticket = read_ticket(hit.ticket)
        if category is None or ticket is None:
            raise unknown_category(self._engine.policy, hit.category)
        judge_hit(self._engine, category, hit, ticket, bool(good))

    def calibrate(self, category: str, observations: Sequence[tuple[float, bool]]) -> None:
        """Give labelled pairs of questions, (similarity, whether one answers the other).

        For a category with an error budget: it need not begin closed. Pairs must be the nearest
        neighbours of questions such as will be asked, the wrong ones included.
        """
        found = self._engine.policy.categories.get(category)
        pool = None if found is None else self._engine.pool_of(found)
        if found is None:
            raise unknown_category(self._engine.policy, category)
        if pool is None:
            raise InvalidArgument(
                f"category {category!r} has no error budget: its threshold is given",
                field="category",
                reason="NO_BUDGET",
            )
        pairs = [(float(score), bool(right)) for score, right in observations]
        if not all(np.isfinite(score) and -1.001 <= score <= 1.001 for score, _ in pairs):
            raise InvalidArgument(
                "observations must be (cosine similarity, right)", field="observations"
            )
        pool.calibrate(pairs)

    def report_load(
        self,
        model: str,
        *,
        load: float | None = None,
        inflight: float | None = None,
        limit: float | None = None,
        queue_wait: float | None = None,
        slo: float | None = None,
        p95: float | None = None,
        p95_target: float | None = None,
    ) -> float:
        """Tell how loaded a model is (1: as much as it is meant to take); the relaxation, 0 to 1.

        ``model`` is what scopes have under that key. Times in seconds.
        """
        if not isinstance(model, str) or not model:
            raise InvalidArgument("model must be a name", field="model")
        engine = self._engine
        found = load_of(
            load=load,
            inflight=inflight,
            limit=limit,
            queue_wait=queue_wait,
            slo=slo,
            p95=p95,
            p95_target=p95_target,
        )
        relaxation = engine.loads.report(model, found, engine.policy.load)
        most = max(
            (row["relaxation"] for row in engine.loads.table(engine.policy.load).values()),
            default=0.0,
        )
        for category in engine.policy.categories.values():
            budget, pool = engine.policy.budget_of(category), engine.pool_of(category)
            if budget is not None and pool is not None and category.adaptive:
                pool.allow(budget[1], most)
        return relaxation

    # --------------------------------------------------------------------------------- policy

    def policy(self, version: int | None = None) -> dict[str, Any]:
        """The policy in force, or one of the last versions, as a document with its version."""
        if version is None or version == self._engine.policy.version:
            policy = self._engine.policy
        else:
            policy = parse_policy(writing.read_policy(self._engine, version).decode(), version)
        return {"version": policy.version, **policy.document}

    def set_policy(self, policy: PolicySource, *, dry_run: bool = False) -> dict[str, Any]:
        """Put a policy in force while running: a dict, TOML or JSON, checked as a whole first.

        Its ``version``, where given, must be the one that it replaces. ``dry_run``: tell what it
        would have done with the latest lookups, and change nothing.
        """
        replaces = asked_version(policy)
        candidate = parse_policy(policy, self._engine.policy.version + 1)
        if dry_run:
            return preview(self._engine, candidate)
        version = writing.set_policy(self._engine, candidate, replaces)
        return {"version": version, **replace(candidate, version=version).document}

    # ---------------------------------------------------------------------------------- insight

    def stats(self) -> dict[str, Any]:
        """Counts, times, thresholds in force and why, errors measured, what was saved."""
        return report(self._engine)

    def explain(self, lookup: int | Hit | Lookup) -> dict[str, Any]:
        """What happened in one of the latest lookups, by its id, or ``NotFound``."""
        number = lookup.id if isinstance(lookup, Hit | Lookup) else lookup
        return explain(self._engine, number)

    def maintain(self) -> None:
        """Do now what is due: expire, give space back, grow graphs, keep what was learned."""
        with self._house.lock:
            while self._house.step():
                pass
            self._house.note()

    def __repr__(self) -> str:
        return f"Cache({self.name!r}, dim={self.dim})"

    # ---------------------------------------------------------------------------------- inside

    def _question(
        self, vector: VectorSource, category: str, scope: Scope, prompt: str | None
    ) -> Question:
        engine = self._engine
        return Question(
            policy=engine.policy,
            scopes=engine.scopes,
            secret=engine.row.secret,
            dim=engine.row.dim,
            vector=vector,
            category=category,
            scope=scope,
            prompt=prompt,
            embed=self._embed,
        )

    def _put(self, question: Question, offer: Offer, ticket: str | None) -> Future[PutResult]:
        told = read_ticket(ticket)
        if told is not None and question.category.allow_caching:
            right = learn(self._engine, question.category, told, offer, self._judge)
            if right and told.drawn > 0.0:
                return writing.refused(self._engine, question.category, "known")
        return writing.put(self._engine, question, offer, told)
