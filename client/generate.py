"""Write the client's generated files, or check that they are up to date.

    python client/generate.py            write them
    python client/generate.py --check    compare with what is there; exit 1 if it differs

The client shares files with the engine but must not import it, so it carries copies. Its
synchronous half is the asynchronous one with ``async`` and ``await`` taken out: to leave words out
of a token stream is safe, to put them in would take knowledge of every call.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path("client/vecdb_client")

COPIES = {
    "vecdb/errors.py": "errors.py",
    "vecdb/keys.py": "keys.py",
    "vecdb/limits.py": "limits.py",
    "vecdb/results.py": "results.py",
    "vecdb/filters/builder.py": "filters.py",
    "vecdb/collection/chunks.py": "chunks.py",
    "vecdb/collection/columns.py": "columns.py",
    "vecdb/collection/faults.py": "faults.py",
    "vecdb/collection/positions.py": "positions.py",
    "vecdb/collection/progress.py": "progress.py",
    "vecdb/collection/quotas.py": "quotas.py",
    "vecdb/collection/sharing.py": "sharing.py",
    "vecdb/collection/sources.py": "sources.py",
}
SYNCHRONOUS = {
    "async_calls.py": "calls.py",
    "async_client.py": "client.py",
    "async_collection.py": "collection.py",
    "async_handle.py": "handle.py",
    "async_search_methods.py": "search_methods.py",
    "async_tenant_methods.py": "tenant_methods.py",
}
NAMES = {
    "AsyncCaller": "Caller",
    "AsyncClient": "Client",
    "AsyncCollection": "Collection",
    "AsyncHandle": "Handle",
    "AsyncSearchMethods": "SearchMethods",
    "AsyncStream": "Stream",
    "AsyncTenantMethods": "TenantMethods",
    "AsyncTransport": "Transport",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "aio_transport": "transport",
    "async_calls": "calls",
    "async_client": "client",
    "async_collection": "collection",
    "async_handle": "handle",
    "async_tenant_methods": "tenant_methods",
    "async_search_methods": "search_methods",
}
DROPPED = ("async", "await")
SENTENCES = {
    "One event loop at a time.": "Safe in any number of threads.",
    "Close it before a fork, which asyncio does not survive.": (
        "A forked child opens a channel of its own."
    ),
    "over the network, for asyncio.": "over the network.",
    "behind a server, for asyncio.": "behind a server.",
}


def copy(source: str) -> str:
    """The text of a file of the engine, whose relative imports must hold in the client too."""
    text = (ROOT / source).read_text()
    text = re.sub(r"^( *from )\.\.", r"\1.", text, flags=re.MULTILINE)  # the client has no folders
    for module, names in re.findall(r"^ *from \.+(\w*) import (.+)", text, re.MULTILINE):
        for name in [module] if module else names.split(", "):
            if f"{name}.py" not in COPIES.values():
                raise SystemExit(f"{source} imports {name!r}, which the client has no copy of")
    return f"{header(source)}{text}"


def without_async(source: str) -> str:
    """The text of a file of the client, its async words left out, its names and texts changed."""
    text = (ROOT / PACKAGE / source).read_text()
    lines = text.splitlines(keepends=True)
    edits: list[tuple[tuple[int, int], tuple[int, int], str]] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME and token.string in DROPPED:
            row, column = token.end
            blank = re.match(r"\s*", lines[row - 1][column:])
            edits.append((token.start, (row, column + (blank.end() if blank else 0)), ""))
        elif token.type == tokenize.NAME and token.string in NAMES:
            edits.append((token.start, token.end, NAMES[token.string]))
        elif token.type in (tokenize.STRING, tokenize.COMMENT):
            changed = change_text(token.string)
            if changed != token.string:
                edits.append((token.start, token.end, changed))
    for start, end, new in reversed(edits):
        splice(lines, start, end, new)
    return f"{header((PACKAGE / source).as_posix())}{''.join(lines)}"


def splice(lines: list[str], start: tuple[int, int], end: tuple[int, int], new: str) -> None:
    """Replace what lies between two places; rows count from 1, columns from 0."""
    before, after = lines[start[0] - 1][: start[1]], lines[end[0] - 1][end[1] :]
    lines[start[0] - 1 : end[0]] = (before + new + after).splitlines(keepends=True)


def change_text(text: str) -> str:
    """A docstring, string or comment for the synchronous file."""
    for old, new in SENTENCES.items():
        text = text.replace(old, new)
    text = re.sub(r"\b(async|await) ", "", text)
    return re.sub(r"\w+", lambda word: NAMES.get(word[0], word[0]), text)


def header(source: str) -> str:
    return f"# Generated from {source} by client/generate.py; do not edit.\n"


def formatted(text: str, name: str) -> str:
    """``text`` with its imports sorted and lines broken as the repository's are."""
    for command in (["check", "--select", "I", "--fix", "--quiet"], ["format", "--quiet"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--stdin-filename", name, "-"],
            input=text,
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        if done.returncode != 0:
            raise SystemExit(f"ruff {command[0]} failed on {name}:\n{done.stderr}")
        text = done.stdout
    return text


def generate() -> dict[str, str]:
    """File name in the package -> text."""
    texts = {target: copy(source) for source, target in COPIES.items()}
    texts |= {target: without_async(source) for source, target in SYNCHRONOUS.items()}
    return {name: formatted(text, (PACKAGE / name).as_posix()) for name, text in texts.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args().check
    stale = []
    for name, text in generate().items():
        path = ROOT / PACKAGE / name
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if not check:
                path.write_text(text)
    if stale:
        done = "out of date, run `python client/generate.py`" if check else "written"
        print(f"{done}: {', '.join(stale)}", file=sys.stderr)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
