"""The command line as it was typed, for what must be known even when it cannot be parsed."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass

OUTPUT_VARIABLE = "VECDB_OUTPUT"


@dataclass(frozen=True, slots=True)
class Invocation:
    """``arguments``: all after the program's name."""

    arguments: tuple[str, ...]

    @property
    def wants_json(self) -> bool:
        """Errors are to be JSON: ``-o json`` was given, wherever it stands."""
        wanted = os.environ.get(OUTPUT_VARIABLE, "")
        for at, word in enumerate(self.arguments):
            following = self.arguments[at + 1] if at + 1 < len(self.arguments) else ""
            if word == "--":
                break
            if word in ("-o", "--output"):
                wanted = following
            elif word.startswith("--output="):
                wanted = word.removeprefix("--output=")
            elif word.startswith("-o"):
                wanted = word.removeprefix("-o")
        return wanted in ("json", "jsonl")

    @property
    def plain(self) -> bool:
        """Without colour."""
        return "--no-color" in self.arguments

    def again_with(self, flag: str) -> str:
        """The same command line with ``flag``, to be pasted into a shell."""
        words = list(self.arguments)
        if flag not in words:
            words.insert(words.index("--") if "--" in words else len(words), flag)
        return shlex.join(["vecdb", *words])
