"""A process that follows, and one that is killed at any moment: never a wrong or a torn answer."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import vecdb
from vecdb.check import check_directory
from vecdb.errors import PreconditionFailed

from .conftest import DIM, SCOPE, category

ASK = {"category": "faq", "scope": SCOPE}

WRITER = """
import hashlib, sys
import numpy as np
import vecdb
from tests_shared import vector, value

directory, seed = sys.argv[1], int(sys.argv[2])
rng = np.random.default_rng(seed)
db = vecdb.open(directory, threads=1)
cache = db.cache("a")
print("ready", flush=True)
version = 0
while True:
    for _ in range(40):
        number = int(rng.integers(300))
        version += 1
        cache.put(vector(number), value(number, f"{seed}.{version}"), category="faq",
                  scope={"tenant": "acme", "model": "m1"}, prompt=f"question {number}?",
                  tags=[f"t{number % 10}"])
    done = cache.put(vector(0), value(0, f"{seed}.{version}"), category="faq",
                     scope={"tenant": "acme", "model": "m1"}, prompt="question 0?", wait=True)
    if rng.random() < 0.3:
        tag = int(rng.integers(10))
        cache.invalidate(tags=[f"t{tag}"])
        print("dead", tag, done.entry, flush=True)
    else:
        print("stored", done.entry, flush=True)
"""
SHARED = """
import hashlib
import numpy as np

def vector(number):
    return np.random.default_rng(number).standard_normal(32)

def value(number, version):
    body = f"{number} {version} " + "x" * (number * 7 % 3000)
    return body + hashlib.sha256(body.encode()).hexdigest()
"""


def vector(number):
    return np.random.default_rng(number).standard_normal(DIM)


def is_whole(number, text):
    body, digest = text[:-64], text[-64:]
    return hashlib.sha256(body.encode()).hexdigest() == digest and body.split()[0] == str(number)


@pytest.mark.slow
def test_killed_writer_leaves_whole_answers_and_dead_ones_stay_dead(tmp_path):
    directory = tmp_path / "db"
    (tmp_path / "tests_shared.py").write_text(SHARED, encoding="utf-8")
    (tmp_path / "writer.py").write_text(WRITER, encoding="utf-8")
    policy = {"category": {"faq": category(ttl="1d", ttl_max="1d")}, "capacity": {"entries": 200}}
    with vecdb.open(directory) as db:
        db.create_cache("a", dim=DIM, policy=policy)
    rng = np.random.default_rng(9)
    path = os.pathsep.join([str(tmp_path), *sys.path])
    answers = 0
    for seed in range(4):
        writer = subprocess.Popen(
            [sys.executable, str(tmp_path / "writer.py"), str(directory), str(seed)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": path},
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        dead: dict[int, int] = {}
        lines = [writer.stdout.readline() for _ in range(int(rng.integers(2, 6)))]
        time.sleep(rng.uniform(0, 0.05))
        writer.send_signal(signal.SIGKILL)
        rest, _ = writer.communicate()
        for line in [*lines, *rest.splitlines()]:
            words = line.split()
            if len(words) == 3 and words[0] == "dead":
                dead[int(words[1])] = int(words[2])
        assert check_directory(directory).ok
        with vecdb.open(directory, threads=1) as db:
            cache = db.cache("a")
            for number in range(300):
                for hit in (
                    cache.get(vector(number), prompt=f"question {number}?", **ASK),
                    cache.get(vector(number), prompt=f"question {number} or so?", **ASK),
                ):
                    if hit is not None:
                        answers += 1
                        assert is_whole(number, hit.value)
                        if number and number % 10 in dead:
                            assert hit.entry > dead[number % 10]
            assert cache.stats()["stored_entries"] <= 200
    assert answers > 50


def test_follower_answers_and_never_what_was_invalidated(path, clock, questions):
    with vecdb.open(path, clock=clock) as db:
        cache = db.create_cache("a", dim=DIM, policy={"category": {"faq": category()}})
        first, second = questions.new(), questions.new()
        cache.put(first, "one", prompt="One?", tags=["t"], wait=True, **ASK)
        code = (
            "import sys, numpy as np, vecdb\n"
            "db = vecdb.open(sys.argv[1], read_only=True, clock=lambda: 1_700_000_000.0)\n"
            "cache = db.cache('a')\n"
            "for line in sys.stdin:\n"
            "    prompt, *numbers = line.split('|')\n"
            "    vector = np.array([float(n) for n in numbers])\n"
            "    hit = cache.get(vector, category='faq',\n"
            "                    scope={'tenant': 'acme', 'model': 'm1'}, prompt=prompt)\n"
            "    print(None if hit is None else (hit.value, hit.kind), flush=True)\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        ) as follower:
            assert follower.stdin is not None
            assert follower.stdout is not None

            def ask(prompt, vector):
                follower.stdin.write("|".join([prompt, *map(str, vector.tolist())]) + "\n")
                follower.stdin.flush()
                return follower.stdout.readline().strip()

            assert ask("One?", first) == "('one', 'exact')"
            cache.put(second, "two", prompt="Two?", wait=True, **ASK)
            till = time.monotonic() + 10
            while ask("Two?", second) != "('two', 'exact')":
                assert time.monotonic() < till
            assert ask("Two then?", second) == "('two', 'vector')"
            cache.invalidate(tags=["t"])
            assert ask("One?", first) == "None"
            assert ask("One then?", first) == "None"
            cache.set_policy({"category": {"faq": category(threshold=0.99)}})
            ask("Two?", second)
            follower.stdin.close()


def test_process_that_only_reads_does_not_store(path, clock, questions):
    with vecdb.open(path, clock=clock) as db:
        db.create_cache("a", dim=DIM, policy={"category": {"faq": category()}})
    with vecdb.open(path, clock=clock, read_only=True) as db:
        cache = db.cache("a")
        vector = questions.new()
        with pytest.raises(PreconditionFailed) as caught:
            cache.put(vector, "x", prompt="x", wait=True, **ASK)
        assert caught.value.reason == "READ_ONLY"
        assert cache.get_or_compute(vector, lambda: "y", prompt="x", **ASK) == "y"
