"""The timer wheel, against a dictionary of times."""

from __future__ import annotations

import numpy as np
import pytest

from vecdb.kernels.wheel import HOURS, SECONDS, advance, put_in, take_out

ROWS = 400


class Wheel:
    def __init__(self, now):
        self.heads = np.full(SECONDS + HOURS, -1, np.int32)
        self.links = np.repeat(np.arange(ROWS, dtype=np.int32)[:, None], 2, axis=1)
        self.due = np.zeros(ROWS, np.int64)
        self.clock = np.array([now, 1], np.int64)
        self.out = np.empty(16, np.int32)

    def put(self, row, due):
        self.due[row] = due
        put_in(row, self.heads, self.links, self.due, self.clock)

    def take(self, row):
        take_out(row, self.heads, self.links)

    def until(self, now, steps=1_000):
        found = []
        while self.clock[0] <= now:
            count = advance(now, steps, self.heads, self.links, self.due, self.clock, self.out)
            found += self.out[:count].tolist()
        return found


@pytest.mark.parametrize("seed", range(5))
def test_rows_come_out_when_they_are_due_and_never_before(seed):
    rng = np.random.default_rng(seed)
    now = int(rng.integers(10**9))
    wheel, waiting = Wheel(now), {}
    for _ in range(300):
        kind = rng.integers(4)
        if kind < 2:
            row = int(rng.integers(ROWS))
            if row not in waiting:
                scale = [5, 4_000, 100_000, 86_400 * 150][rng.integers(4)]
                due = now + int(rng.integers(-3, scale))
                wheel.put(row, due)
                waiting[row] = due
        elif kind == 2 and waiting:
            row = int(rng.choice(list(waiting)))
            wheel.take(row)
            wheel.take(row)  # twice is harmless
            del waiting[row]
        else:
            now += int(rng.choice([0, 1, 30, 3_600, 50_000]))
            found = wheel.until(now)
            expected = {row for row, due in waiting.items() if due <= now}
            # One that was put in after its time comes with the next second.
            assert set(found) <= expected
            assert len(found) == len(set(found))
            late = expected - set(found)
            for row in found:
                del waiting[row]
            assert all(waiting[row] <= now for row in late)
            now += 1
            for row in wheel.until(now):
                assert waiting.pop(row) <= now
            assert all(due > now for due in waiting.values())
    end = now + 200 * 86_400
    assert set(wheel.until(end)) == set(waiting)


def test_one_call_does_no_more_than_it_is_told():
    wheel = Wheel(0)
    for row in range(ROWS):
        wheel.put(row, 10)
    calls = []
    while wheel.clock[0] <= 10:
        calls.append(advance(10, 5, wheel.heads, wheel.links, wheel.due, wheel.clock, wheel.out))
    assert sum(calls) == ROWS
    assert max(calls) <= 5
