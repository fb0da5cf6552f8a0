"""A killed database compared with the oracle: nothing lost, nothing torn, nothing else."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from oracle_file import Oracle, Record, Records, after, count_of, named_by
from workload import (
    SCRATCH_ROWS,
    WRITERS,
    Batch,
    Id,
    Shape,
    make_id,
    owner,
    send,
    text_of,
)

from vecdb.check import check_directory
from vecdb.storage.manifest import named_segments
from vecdb.storage.segment_files import SEGMENTS, list_orphans
from vecdb.testing.oracle import nearest_rows

SWEEP_SECONDS = 60.0
AGAIN = 3
"""Acknowledged batches of a round whose keys are sent once more."""


class Wrong(Exception):
    """The promise is broken; the message says where and how."""


@dataclass(slots=True)
class Tally:
    """What the rounds have found so far."""

    kills: int = 0
    builds_cut: int = 0
    acknowledged: int = 0
    whole: int = 0
    absent: int = 0
    sent_again: int = 0
    replayed: int = 0
    verified: int = 0

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.builds_cut} of them inside a build or a swap; "
            f"{self.acknowledged} batches acknowledged, 0 lost; of "
            f"{self.whole + self.absent} not acknowledged {self.whole} whole, {self.absent} "
            f"absent; {self.sent_again} sent again, {self.replayed} of them answered from their "
            f"key; {self.verified} records compared"
        )


def require(holds: bool, message: str) -> None:
    if not holds:
        raise Wrong(message)


def was_cut_short(directory: Path) -> bool:
    """Whether the kill came while a segment was written or removed."""
    folder = directory / SEGMENTS
    return folder.is_dir() and any(name.endswith(".new") for name in os.listdir(folder))


def require_no_orphans(db: Any, directory: Path) -> None:
    """Just opened: every folder of a segment is named by a manifest."""
    with db._store.environment.read() as transaction:
        orphans = list_orphans(directory, named_segments(transaction))
    require(not orphans, f"folders of no segment: {orphans}")


def check_files(directory: Path) -> None:
    """The database's own checker finds nothing; the database is closed."""
    report = check_directory(directory)
    require(report.ok, f"check: {[f'{one.where}: {one.what}' for one in report.problems[:5]]}")


def audit(db: Any, oracle: Oracle, rng: random.Random, tally: Tally) -> None:
    """Compare everything, settle what was not acknowledged, send it again, compare once more."""
    require(not oracle.wrong_counts, "; ".join(oracle.wrong_counts[:5]))
    _check_collections(db, oracle)
    for shape in sorted_shapes(oracle):
        stored = read_all(db, shape)
        require_records(oracle, shape, stored, tally)
        _check_reads(db, shape, stored, rng)
        tally.verified += len(stored)
    _send_again(db, oracle, rng, tally)


def _check_collections(db: Any, oracle: Oracle) -> None:
    """Those that must be there are, those deleted are not; the rest was never acknowledged."""
    there = {info.name: info.count for info in db.collections()}
    wanted = {shape.name for shape in oracle.shapes}
    require(wanted <= set(there), f"collections lost: {sorted(wanted - set(there))}")
    for name in sorted(set(there) - wanted):
        if name in oracle.scratch:
            require(not oracle.scratch[name], f"{name} was deleted, and is there")
            require(there[name] in (0, SCRATCH_ROWS), f"{name} holds {there[name]} records")
            db.delete_collection(name)
        else:  # made by a worker that was killed before it could tell
            require(there[name] == 0, f"nobody wrote into {name}, which holds {there[name]}")
    oracle.forget_scratch()


def read_all(db: Any, shape: Shape) -> Records:
    page = db.collection(shape.name).scroll(limit=10_000, with_vector=True)
    require(page.next is None, f"{shape.name} holds more records than were ever written")
    return {one.id: Record(one.vector.tobytes(), one.payload, one.sequence) for one in page}


def require_records(oracle: Oracle, shape: Shape, stored: Records, tally: Tally) -> None:
    """``stored`` is what was acknowledged, with each pending batch whole or absent."""
    by_writer: dict[int, Records] = {writer: {} for writer in range(WRITERS)}
    for id, one in stored.items():
        require(owner(id) in by_writer, f"{shape.name}: nobody wrote {id!r}")
        by_writer[owner(id)][id] = one
    for writer, found in by_writer.items():
        expected = oracle.records[shape, writer]
        pending = [
            one for of, one in oracle.pending.values() if of == shape and one.writer == writer
        ]
        require(len(pending) <= 1, f"writer {writer} had {len(pending)} batches under way")
        differences = differ(expected, found)
        if not pending:
            require(not differences, f"{shape.name}, writer {writer}: {differences[:5]}")
            continue
        _settle(oracle, shape, pending[0], found, differences, tally)


def _settle(
    oracle: Oracle, shape: Shape, batch: Batch, found: Records, absent: list[str], tally: Tally
) -> None:
    """Decide whether the batch has been applied, which it may be as a whole only."""
    expected = oracle.records[shape, batch.writer]
    wanted = after(shape, oracle.seed, batch, expected)
    whole = differ(wanted, found)
    require(
        not (absent and whole),
        f"{shape.name}: {batch.kind} {text_of(batch.label)} was not acknowledged and is neither "
        f"absent ({absent[:3]}) nor whole ({whole[:3]})",
    )
    if not absent and not whole:
        return  # it changes nothing, so nobody can tell
    oracle.applied[batch.label] = not whole
    if whole:
        tally.absent += 1
        return
    written = {found[id].sequence for id, one in wanted.items() if one.sequence == 0}
    require(len(written) <= 1, f"{text_of(batch.label)} was written in pieces: {written}")
    oracle.records[shape, batch.writer] = found
    tally.whole += 1


def differ(expected: Records, found: Records) -> list[str]:
    """What is wrong with ``found``, in words."""
    words = [f"{id!r} is lost" for id in expected.keys() - found.keys()]
    words += [f"{id!r} should not be there" for id in found.keys() - expected.keys()]
    for id in expected.keys() & found.keys():
        want, have = expected[id], found[id]
        if want.vector != have.vector:
            words.append(f"{id!r} has another vector")
        if want.payload != have.payload:
            words.append(f"{id!r} has the payload {have.payload}, expected {want.payload}")
        if want.sequence not in (0, have.sequence):
            words.append(f"{id!r} is of sequence {have.sequence}, expected {want.sequence}")
    return words


def _check_reads(db: Any, shape: Shape, stored: Records, rng: random.Random) -> None:
    """Counts agree, get tells the same, exact search is what a plain search would find."""
    docs = db.collection(shape.name)
    told = (docs.describe().count, docs.count(), docs.stats()["count"])
    require(set(told) == {len(stored)}, f"{shape.name}: counts {told}, records {len(stored)}")
    asked = [make_id(shape, rng.randrange(WRITERS), rng.randrange(200)) for _ in range(50)]
    got = docs.get(asked, with_vector=True)
    for one in got:
        same = Record(one.vector.tobytes(), one.payload, one.sequence) == stored.get(one.id)
        require(same, f"{shape.name}: get and scroll differ on {one.id!r}")
    absent = [id for id in asked if id not in stored]
    require(list(got.missing) == absent, f"{shape.name}: get misses {got.missing}, not {absent}")
    if not stored:
        return
    name = named_by(stored[rng.choice(sorted(stored))])
    matching = sum(named_by(one) == name and bool(name) for one in stored.values())
    counted = docs.count({"batch": name})
    require(counted == matching, f"{shape.name}: {counted} match batch {name}, not {matching}")
    _check_search(docs, shape, stored, rng)


def _check_search(docs: Any, shape: Shape, stored: Records, rng: random.Random) -> None:
    ids: list[Id] = sorted(stored)
    rows = np.stack([np.frombuffer(stored[id].vector, shape.dtype) for id in ids])
    own = rng.randrange(len(ids))
    fresh = np.random.default_rng(rng.randrange(2**32)).standard_normal(shape.dim)
    for query in (rows[own].astype(np.float32), fresh.astype(np.float32)):
        found = docs.search(query, 10, mode="exact")
        best, scores = nearest_rows(shape.metric, rows, query, len(ids), ids=ids)
        wanted = [ids[row] for row in best]
        told = scores.astype(np.float32)
        require(
            list(found.ids) == wanted[:10] and np.array_equal(found.scores, told[:10]),
            f"{shape.name}: search found {list(found.ids)}, the oracle {wanted[:10]}",
        )
        scanned = docs.search(query, 10, mode="scan")
        right = dict(zip(wanted, told.tolist(), strict=True))
        require(
            len(set(scanned.ids)) == min(10, len(ids))
            and [right.get(id) for id in scanned.ids] == scanned.scores.tolist(),
            f"{shape.name}: scan found {list(scanned.ids)} with {scanned.scores.tolist()}",
        )
        payloads = [stored[id].payload for id in wanted[:10]]
        require(found.payloads == payloads, f"{shape.name}: the payloads of a search differ")


def _send_again(db: Any, oracle: Oracle, rng: random.Random, tally: Tally) -> None:
    """A batch that has a key is applied exactly once, however often it is sent."""
    for shape, batch in oracle.pending.values():
        if batch.keyed:
            tally.replayed += _send_pending(db, oracle, shape, batch)
            tally.sent_again += 1
    keyed = [one for one in oracle.answered if one.batch.keyed]
    for one in rng.sample(keyed, min(AGAIN, len(keyed))):
        result = send(db, one.shape, oracle.seed, one.batch)
        told = (result.replayed, result.count, result.sequence)
        require(
            told == (True, one.count, one.sequence),
            f"{text_of(one.batch.label)}, acknowledged as {one.count}, {one.sequence}, was "
            f"answered {told} under its key",
        )
        tally.sent_again += 1
        tally.replayed += 1
    oracle.forget_round()
    for shape in sorted_shapes(oracle):
        stored = read_all(db, shape)
        require_records(oracle, shape, stored, tally)
        count = db.collection(shape.name).count()
        require(count == len(stored), f"{shape.name}: count {count} after sending again")


def _send_pending(db: Any, oracle: Oracle, shape: Shape, batch: Batch) -> bool:
    """Send it twice; whether it had been applied before."""
    before = oracle.records[shape, batch.writer]
    first, second = (send(db, shape, oracle.seed, batch) for _ in range(2))
    name = text_of(batch.label)
    require(
        second.replayed and (second.count, second.sequence) == (first.count, first.sequence),
        f"{name} was answered {first}, then {second}",
    )
    applied = oracle.applied.get(batch.label, first.replayed)
    require(first.replayed == applied, f"{name} was applied: {applied}; it is answered {first}")
    if not applied:
        expected = count_of(batch, before)
        require(first.count == expected, f"{name} is answered {first}, expected {expected}")
        oracle.records[shape, batch.writer] = after(
            shape, oracle.seed, batch, before, first.sequence
        )
    return applied


def wait_until_swept(db: Any) -> None:
    """Return once nothing is left of deleted collections."""
    end = time.monotonic() + SWEEP_SECONDS
    while True:
        with db._store.environment.read() as transaction:
            left = transaction.entries("dropped")
        if not left:
            return
        require(time.monotonic() < end, f"{left} deleted collections are not swept")
        time.sleep(0.01)


def sorted_shapes(oracle: Oracle) -> list[Shape]:
    return sorted(oracle.shapes, key=lambda shape: shape.name)
