"""What an import writes beside its files: how far it is, and what was refused."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ..errors import InvalidArgument, PreconditionFailed
from .failures import failure_of
from .import_state import SUFFIX, Progress, StateFile, begin, check_same
from .invocation import Invocation
from .output import Console
from .text import plural

REJECTED_SUFFIX = ".rejected.jsonl"


class Keeper:
    """One import's state file, and the files of its refused records."""

    def __init__(
        self, files: Sequence[Path], settings: Mapping[str, Any], console: Console
    ) -> None:
        first = files[0]
        self.state = StateFile(settings["state"] or first.with_name(first.name + SUFFIX))
        self._folder: Path | None = settings["rejected"]
        self._files = files
        self._named = settings["state"] is not None
        self._console = console
        self._works = True
        self._collects = settings["on_error"] == "collect"
        if self._collects:
            for folder in {self.rejected(path).parent for path in files}:
                if not os.access(folder, os.W_OK):
                    raise InvalidArgument(
                        f"refused records cannot be written to {folder}",
                        field="rejected",
                        hint="Name another folder: --rejected DIR",
                    )

    def rejected(self, path: Path) -> Path:
        """Where refused records of a file go."""
        folder = path.parent if self._folder is None else self._folder
        return folder / (path.name + REJECTED_SUFFIX)

    def begin(self, plan: dict[str, Any], first_id: int, *, resume: bool) -> Progress:
        """The progress to go on from; of a new import, from the first row."""
        found = self._load(resume=resume)
        if found is not None and resume:
            same = check_same(found, plan)
            self._console.note(f"going on after {plural(same.settled, 'record')}")
            return same
        if resume:
            self._console.note(f"nothing to resume: no {self.state.path}; starting at row 0")
        elif found is not None and found.settled:
            self._console.note(
                f"starting over, although an import into {found.plan.get('collection')} stopped "
                f"after {plural(found.settled, 'record')}: --resume would have gone on from there"
            )
        for path in self._files if self._collects else ():
            self.rejected(path).unlink(missing_ok=True)
        return begin(plan, first_id)

    def save(self, progress: Progress) -> None:
        """Write the progress down; where that is not possible, say so once and go on without."""
        if not self._works:
            return
        try:
            self.state.save(progress)
        except OSError as error:
            if self._named:
                raise
            self._works = False
            self._console.warn(
                f"cannot write {self.state.path} ({error.strerror}), so this import cannot be "
                "resumed; --state FILE keeps it elsewhere"
            )

    def remove(self) -> None:
        if self._works:
            self.state.remove()

    def how_to_go_on(self) -> str:
        """What to type."""
        if not self._works:
            return ""
        invocation = click.get_current_context().find_object(Invocation) or Invocation(())
        return f"To go on: {invocation.again_with('--resume')}"

    def failed(self, error: Exception, progress: Progress) -> None:
        """Have the error tell how to go on, if there is anything to go on from."""
        told = failure_of(error)
        if not progress.settled:
            self.remove()
        elif told is not None and not isinstance(error, InvalidArgument):
            hint = "" if "resume=" in told.hint else told.hint  # that of a program
            parts = (hint, self.how_to_go_on())
            error.hint = ". ".join(filter(None, parts))  # type: ignore[attr-defined]

    def _load(self, *, resume: bool) -> Progress | None:
        try:
            return self.state.load()
        except PreconditionFailed:
            if resume:
                raise
            return None
