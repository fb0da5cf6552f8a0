"""What the demo shows, in order; every number printed is computed here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from vecdb_client import Client, F
from vecdb_client.filters import Expression
from vecdb_client.results import Matches

from . import demo_data
from .child import ServerProcess
from .measure import Rate, exact_cosines, rate, recall

COLLECTION = "packages"
WIDTH_MAX = 100
NAME_WIDTH_MAX = 30
WARM_UP_QUERIES = 50
BATCH_QUERIES = 64
BATCH_ROUNDS = 4
MEASURED_K = 10
QUESTIONS = (
    "recover deleted files from a damaged disk",
    "play chess against the computer",
    "scan the network for open ports",
    "align DNA sequences",
)
FILTERED: tuple[tuple[str, str, Expression], ...] = (
    (
        "recover deleted files from a damaged disk",
        'F("tags").contains("admin::recovery") & (F("installed_kb") < 500)',
        F("tags").contains("admin::recovery") & (F("installed_kb") < 500),
    ),
    (
        "play chess against the computer",
        '(F("section") == "games") & ~F("tags").contains("interface::x11")',
        (F("section") == "games") & ~F("tags").contains("interface::x11"),
    ),
    (
        "align DNA sequences",
        'F("tags").contains("interface::commandline") & F("installed_kb").between(100, 2000)',
        F("tags").contains("interface::commandline") & F("installed_kb").between(100, 2000),
    ),
)
"""Question, filter as it is written in Python, and the same as a value."""


class Tour:
    """One demo against a running server. ``load`` comes first."""

    def __init__(self, server: ServerProcess, k: int) -> None:
        self._server = server
        self._k = k
        self._data = demo_data.load()
        self._width = min(WIDTH_MAX, shutil.get_terminal_size((WIDTH_MAX, 24)).columns)
        self._client = Client(server.address)
        self._packages = self._client.collection(COLLECTION)

    def __enter__(self) -> Tour:
        return self

    def __exit__(self, *error: object) -> None:
        self._client.close()

    def load(self) -> None:
        """Create the collection and upload the packages."""
        server, data = self._server, self._data
        self._heading(f"vecdb {server.version} on real data")
        _fact("server", f"{server.address}, process {server.pid}")
        _fact("directory", str(server.directory))
        _fact("data", f"{len(data.names):,} packages of Debian 12, each with the embedding of its")
        _fact("", "name and short description (all-MiniLM-L6-v2)")
        self._client.create_collection(
            COLLECTION, dim=data.vectors.shape[1], metric="cosine", fields=demo_data.FIELDS
        )
        report = self._packages.upload(data.vectors, data.names, data.payloads)
        info = self._packages.describe()
        fields = ", ".join(f"{name} ({kind})" for name, kind in info.fields.items())
        _fact("collection", f"{info.name}: {info.dim} dimensions, {info.metric}, {info.dtype}")
        _fact("fields", fields)
        _fact(
            "uploaded",
            f"{info.count:,} records, {report.bytes / 1e6:.1f} MB in {report.seconds:.2f} s: "
            f"{report.ok / report.seconds:,.0f} records a second, synced to disk",
        )

    def answer(self, own: Sequence[tuple[str, NDArray[Any]]]) -> None:
        """The nearest packages to the user's own questions."""
        self._heading("Your question" if len(own) == 1 else "Your questions")
        for text, vector in own:
            self._ask(text, vector)

    def show_questions(self) -> None:
        self._heading("Questions in plain words, nearest packages")
        for text in QUESTIONS:
            self._ask(text, self._data.question_vector(text))

    def show_filters(self) -> None:
        self._heading("The same, with a filter on the attributes")
        for text, written, condition in FILTERED:
            self._ask(text, self._data.question_vector(text), written, condition)

    def measure(self) -> None:
        """Searches a second, then the same answers beside the exact ones."""
        queries = np.concatenate([self._data.question_vectors, self._data.queries])
        single = list(queries)
        batches = [queries[i : i + BATCH_QUERIES] for i in range(0, len(queries), BATCH_QUERIES)]

        def search(query: NDArray[np.float32]) -> Any:
            return self._packages.search(query, MEASURED_K, with_payload=False)

        def search_batch(group: NDArray[np.float32]) -> Any:
            return self._packages.search_batch(group, MEASURED_K, with_payload=False)

        for query in single[:WARM_UP_QUERIES]:
            search(query)
        search_batch(batches[0])
        one = rate(search, single)
        many = rate(search_batch, batches * BATCH_ROUNDS)
        self._heading(
            f"Speed over loopback: one caller, k={MEASURED_K}, ids and scores, after a warm-up"
        )
        _show_rate("one query a call", one)
        _show_rate(f"{BATCH_QUERIES} queries a call", many)
        self._show_recall(queries, [search(query) for query in single])

    def _show_recall(self, queries: NDArray[np.float32], answers: list[Any]) -> None:
        row_of = {name: row for row, name in enumerate(self._data.names)}
        found = [np.array([row_of[name] for name in answer.ids], np.int64) for answer in answers]
        scores = [answer.scores for answer in answers]
        result = recall(found, scores, exact_cosines(queries, self._data.vectors), MEASURED_K)
        self._heading(
            f"Beside exact cosines (numpy, float64): {result.queries} queries, "
            f'{result.k} places each, mode="auto"'
        )
        _fact("by distance", f"{result.by_distance:.4f} recall, worst query {result.worst:.2f}")
        _fact("by id", f"{result.by_id:.4f} recall")
        _fact("scores", f"differ by {result.score_error:.1e} at most")

    def _ask(
        self,
        text: str,
        vector: NDArray[np.float32],
        written: str = "",
        condition: Expression | None = None,
    ) -> None:
        """One question and its answer as a table."""
        matches = self._packages.search(vector, self._k, filter=condition)
        click.echo()
        click.echo(f'"{text}"')
        if condition is not None:
            count = self._packages.count(condition)
            click.echo(f"  where {written}")
            click.echo(f"  which {count:,} of {len(self._data.names):,} packages meet")
        for number, line in enumerate(_table(matches)):
            clipped = _clip(line, self._width)
            click.echo(click.style(clipped, dim=True) if number == 0 else clipped)

    def _heading(self, text: str) -> None:
        click.echo()
        click.echo(click.style(text, bold=True))
        click.echo(click.style("-" * min(len(text), self._width), bold=True))


def _table(matches: Matches) -> Iterator[str]:
    """A line of column names, then one for each match; columns as wide as their content."""
    rows = [("score", "package", "section", "KiB", "summary")]
    for match in matches:
        payload = match.payload or {}
        size = f"{payload['installed_kb']:,}"
        name = _clip(str(match.id), NAME_WIDTH_MAX)
        rows.append((f"{match.score:.3f}", name, payload["section"], size, payload["summary"]))
    name_width, section_width, size_width = (max(len(row[i]) for row in rows) for i in (1, 2, 3))
    for score, name, section, size, summary in rows:
        yield (
            f"  {score:>5}  {name:<{name_width}}  {section:<{section_width}}  "
            f"{size:>{size_width}}  {summary}"
        )


def _clip(text: str, width: int) -> str:
    """``text``, or its beginning and dots where it is wider than ``width`` columns."""
    return text if len(text) <= width else text[: width - 3].rstrip() + "..."


def _fact(name: str, text: str) -> None:
    click.echo(f"  {name:<17}  {text}")


def _show_rate(name: str, figures: Rate) -> None:
    _fact(
        name,
        f"{figures.per_second:>7,.0f} a second   ({figures.queries:,} queries in "
        f"{figures.seconds:.2f} s, median {figures.median_ms:.2f} ms a call)",
    )
