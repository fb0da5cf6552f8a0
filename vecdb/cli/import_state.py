"""Where an import stands: kept beside the file, so that it can go on after whatever ended it."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import PreconditionFailed

SUFFIX = ".vecdb-import.json"
VERSION = 1
START_OVER = "Without --resume it starts over; records that are stored already are replaced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """``file``: which of the files; ``row``: rows of it that are settled, stored or refused.

    - ``import_id``: of the whole import; upload ids derive from it
    - ``plan``: files, database, collection and options, which must be the same to go on
    - ``base``: the number of the first row of this file where rows are numbered
    - ``stored``, ``refused``: records of all files
    """

    import_id: str
    plan: Mapping[str, Any]
    file: int = 0
    row: int = 0
    base: int = 0
    stored: int = 0
    refused: int = 0

    @property
    def settled(self) -> int:
        """Records that are done with."""
        return self.stored + self.refused

    @property
    def upload_id(self) -> str:
        """Of what begins at this row: the same again if it is sent again."""
        text = f"{self.import_id} {self.file} {self.row}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class StateFile:
    """The progress of one import in a small JSON file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> Progress | None:
        """What an interrupted import left; None: nothing."""
        try:
            text = self.path.read_bytes()
        except OSError:
            return None  # writing it will say what is wrong, if it is not just missing
        try:
            values = json.loads(text)
            version = values.pop("version")
            if version != VERSION:
                raise ValueError(f"version {version}")
            return Progress(**values)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise PreconditionFailed(
                f"{self.path} is not the state of an import that this program reads: {error}",
                reason="BAD_STATE",
                hint=f"Delete it to start over, or name another file by --state. {START_OVER}",
            ) from None

    def save(self, progress: Progress) -> None:
        """Replace the file, synced: it is never torn."""
        from ..storage.files import write_file

        values = {"version": VERSION, **asdict(progress)}
        write_file(self.path, json.dumps(values, indent=1).encode())

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def begin(plan: Mapping[str, Any], base: int) -> Progress:
    """A new import, from the first row."""
    return Progress(import_id=secrets.token_hex(16), plan=plan, base=base)


def plan_of(
    files: Sequence[Path], database: str, collection: str, options: Mapping[str, Any]
) -> dict[str, Any]:
    """What an import is; as JSON has it."""
    return {
        "files": [_fingerprint(path) for path in files],
        "database": database,
        "collection": collection,
        "options": json.loads(json.dumps(options)),
    }


def check_same(found: Progress, plan: Mapping[str, Any]) -> Progress:
    """``found`` if it is of the same import; else ``PreconditionFailed`` says what changed."""
    for name, text in (
        ("database", "it went to another database"),
        ("collection", f"it went to the collection {found.plan.get('collection')!r}"),
        ("options", f"it had other options: {found.plan.get('options')}"),
    ):
        if found.plan.get(name) != plan[name]:
            raise _changed(text)
    before, now = found.plan.get("files", []), plan["files"]
    if [file.get("path") for file in before] != [file["path"] for file in now]:
        raise _changed(f"it was of {', '.join(str(file.get('path')) for file in before)}")
    for old, new in zip(before, now, strict=True):
        if old != new:
            raise _changed(
                f"{new['path']} has changed since (from {old.get('bytes')} to {new['bytes']} bytes)"
                if old.get("bytes") != new["bytes"]
                else f"{new['path']} has been written since"
            )
    return replace(found, plan=plan)


def _changed(text: str) -> PreconditionFailed:
    return PreconditionFailed(
        f"the interrupted import cannot go on: {text}", reason="CHANGED", hint=START_OVER
    )


def _fingerprint(path: Path) -> dict[str, Any]:
    """Path, size and time of the last change; of a folder, of all that it holds."""
    whole = path.resolve()
    parts = [whole] if whole.is_file() else sorted(p for p in whole.rglob("*") if p.is_file())
    stats = [os.stat(part) for part in parts]
    return {
        "path": str(whole),
        "bytes": sum(stat.st_size for stat in stats),
        "changed_ns": max((stat.st_mtime_ns for stat in stats), default=0),
    }
