"""Opens damaged copies of a database, in a process that may die of it.

Arguments: the whole database, a folder to work in, and whether the structure of small files is
checked at open. Each line of the input is a damage as JSON: ``{"seed": n}`` for a random one, or
``{"flips": [[offset, bit], ...]}``, each of ``data.mdb``. Each line of the output tells how it
ended:

- ``right``: all values are there and as they were, and in a copy opened for writing still so after
  a write
- ``damaged``: ``DataCorruption`` was raised
- ``wrong``: neither of them; what was different follows
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from pathlib import Path

from vecdb.errors import DataCorruption, VecDBError
from vecdb.storage import format, structure
from vecdb.storage.catalogue import get_state, scan_collections
from vecdb.storage.environment import Environment
from vecdb.storage.operations import scan_operations
from vecdb.storage.records import get_records
from vecdb.storage.transaction import Transaction
from vecdb.testing.faults import flip_bit, mutate

Values = dict[tuple[str, bytes], bytes]


def read_by_key(transaction: Transaction, known: Values) -> Values:
    found = {}
    for table, key in known:
        value = transaction.get(table, key)
        if value is not None:
            found[table, key] = value
    return found


def read_by_scan(transaction: Transaction) -> Values:
    return {
        (table, key): value for table in format.TABLES for key, value in transaction.scan(table)
    }


def decode(transaction: Transaction) -> int:
    """Every row through the modules that know what it means; how many there are."""
    count = 0
    for row in scan_collections(transaction):
        state = get_state(transaction, row.number)
        prefix = format.NUMBER.pack(row.number)
        keys = [key for key, _ in transaction.scan("records", prefix)]
        operations = list(scan_operations(transaction, row.number, row.schema))
        count += len(operations) + len(get_records(transaction, keys)) + (state is not None)
    return count


def differences(environment: Environment, whole: Values, rows: int) -> str:
    with environment.read() as transaction:
        for how, found in (
            ("by scan", read_by_scan(transaction)),
            ("by key", read_by_key(transaction, whole)),
        ):
            found.pop(("keys", b"written"), None)
            if found != whole:
                lost = [key for key in whole if key not in found]
                other = [key for key in found if found[key] != whole.get(key)]
                return f"{how}: {len(lost)} lost, {len(other)} wrong: {(lost + other)[:2]}"
        return "" if decode(transaction) == rows else "rows are missing"


def outcome(directory: Path, whole: Values, rows: int, *, read_only: bool) -> str:
    try:
        environment = Environment(directory, read_only=read_only)
    except DataCorruption:
        return "damaged"
    try:
        found = differences(environment, whole, rows)
        if not found and not read_only:
            environment.write(lambda transaction: transaction.put("keys", b"written", b"v"))
            found = differences(environment, whole, rows)
    except DataCorruption:
        return "damaged"
    finally:
        environment.close()
    return f"wrong {found}" if found else "right"


def main(base: Path, folder: Path, *, checked: bool) -> None:
    environment = Environment(base, read_only=True)
    with environment.read() as transaction:
        whole = read_by_scan(transaction)
        rows = decode(transaction)
    environment.close()
    print(len(whole), rows, flush=True)
    if not checked:
        structure.SMALL_BYTES = 0
    for number, line in enumerate(sys.stdin):
        damage = json.loads(line)
        directory = folder / str(number)
        directory.mkdir()
        for name in ("data.mdb", "witness"):
            shutil.copyfile(base / name, directory / name)
        data = directory / "data.mdb"
        for offset, bit in damage.get("flips", []):
            flip_bit(data, offset, bit)
        what = mutate(data, random.Random(damage["seed"])) if "seed" in damage else "flips"
        try:
            found = outcome(directory, whole, rows, read_only=number % 2 == 0)
        except VecDBError as error:
            found = f"wrong {type(error).__name__}: {error}"
        print(found if not found.startswith("wrong") else f"{found} ({what})", flush=True)
        shutil.rmtree(directory)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), checked=sys.argv[3] == "checked")
