"""get_or_compute: a lookup, and if it misses one computation for all who ask the same.

The order of things: the answer goes to who computed it at once; it is stored by the next group
commit; then those who waited decide against the stored entry, each on its own question.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from ..cache_results import BYPASS, Hit, PutResult
from ..errors import DeadlineExceeded, InvalidArgument, VecDBError
from .background import Background
from .engine import Engine
from .flights import EMPTY, FAILED, STORED, Flight
from .lookup import LookupRun, Verify
from .question import Question

ROUNDS = 3
"""How often a caller waits for others before it computes by itself."""

Store = Callable[[Question, Any, float, str | None], Future[PutResult]]
"""(question, value, seconds it took, ticket) -> its put."""


class Computing:
    """One call; used by one thread."""

    def __init__(
        self,
        engine: Engine,
        question: Question,
        compute: Callable[[], Any],
        store: Store,
        *,
        verify: Verify | None,
        timeout: float | None,
        background: Background,
    ) -> None:
        self._engine = engine
        self._question = question
        self._compute = compute
        self._store = store
        self._verify = verify
        self._until = None if timeout is None else time.monotonic() + timeout
        self._background = background
        self._ticket: str | None = None

    def run(self) -> Any:
        looked = LookupRun(self._engine, self._question, self._verify).run()
        if looked.reason == BYPASS:
            return self._compute()
        if looked.hit is not None:
            self._follow_up(looked.hit)
            return looked.hit.value
        self._ticket = looked.ticket
        for _ in range(ROUNDS):
            flight, own = self._join()
            if flight is None:
                break
            if own:
                return self._fly(flight)
            landed = self._wait(flight)
            while landed in (FAILED, ""):
                flight, own = self._engine.flights.take_over(flight, self._flight())
                if own:
                    return self._fly(flight)
                landed = self._wait(flight)
            if landed == EMPTY:
                break
            hit = self._look_again()
            if hit is not None:
                self._engine.tally.add(self._question.category.name, "coalesced")
                return hit.value
        return self._alone()

    # -------------------------------------------------------------------------------- flights

    def _join(self) -> tuple[Flight | None, bool]:
        question = self._question
        return self._engine.flights.join(
            *(question.key, question.digest, question.vector, question.guard),
            category=question.category,
            threshold=self._engine.threshold_of(question.category),
        )

    def _flight(self) -> Flight:
        question = self._question
        return Flight(question.key, question.digest, question.vector, question.guard)

    def _wait(self, flight: Flight) -> str:
        """How it ended; "": it is still in the air, and has been for longer than a lease."""
        lease = time.monotonic() + self._engine.policy.lease
        until = lease if self._until is None else min(lease, self._until)
        if self._engine.flights.wait(flight, until):
            return flight.outcome
        if self._until is not None and time.monotonic() >= self._until:
            raise DeadlineExceeded(
                "the answer was still being computed for somebody else when the time was over",
                field="timeout",
                hint="Allow more time than the model takes",
            )
        return ""

    def _fly(self, flight: Flight) -> Any:
        """Compute, for all who wait."""
        outcome, landed = FAILED, False
        try:
            hit = self._look_again()  # it may have been stored since we missed
            if hit is not None:
                outcome = STORED
                return hit.value
            value, seconds = self._timed()
            outcome = EMPTY
            put = self._put(value, seconds)
            if put is not None:
                landed = True
                put.add_done_callback(lambda done: self._land(flight, done))
            return value
        finally:
            if not landed:
                self._engine.flights.land(flight, outcome)

    def _land(self, flight: Flight, done: Future[PutResult]) -> None:
        stored = not done.cancelled() and done.exception() is None and done.result().stored
        self._engine.flights.land(flight, STORED if stored else EMPTY)

    def _alone(self) -> Any:
        value, seconds = self._timed()
        self._put(value, seconds)
        return value

    # ------------------------------------------------------------------------------- computing

    def _timed(self) -> tuple[Any, float]:
        name = self._question.category.name
        self._engine.tally.add(name, "computed")
        began = time.perf_counter()
        try:
            value = self._compute()
        except BaseException:
            self._engine.tally.add(name, "failed")
            raise
        seconds = time.perf_counter() - began
        self._engine.tally.note_compute(name, seconds)
        return value, seconds

    def _put(self, value: Any, seconds: float) -> Future[PutResult] | None:
        """None: nothing is stored. That the database takes no write is no reason to lose it."""
        if value is None:
            return None
        try:
            return self._store(self._question, value, seconds, self._ticket)
        except InvalidArgument:
            raise  # the value is nothing that can be stored: whoever wrote `compute` should know
        except VecDBError as error:
            self._engine.tally.refuse(self._question.category.name, error.reason.lower())
            return None

    def _look_again(self) -> Hit | None:
        return LookupRun(self._engine, self._question, self._verify, quiet=True).run().hit

    def _follow_up(self, hit: Hit) -> None:
        """Audits and refreshes: off the request's path, and given up where too many wait."""
        if not (hit.audit or hit.refresh) or self._engine.store.read_only:
            return

        def again() -> None:
            try:
                value, seconds = self._timed()
                if value is not None:
                    self._store(self._question, value, seconds, hit.ticket)
            except VecDBError:
                return  # closed meanwhile, or full: the next one will do

        self._background.submit(again)
