"""``vecdb search``: the records nearest to a vector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import click

from .. import limits
from ..errors import NotFound
from . import options
from .options import Command
from .output import Console, with_console
from .tables import Column
from .targets import Target, with_target

MODES = ("auto", "exact", "scan", "tree", "graph")
ESTIMATORS = ("rabitq", "hamming")
BATCH = 100
BATCH_MATCHES = 20_000
"""Queries of one call, and the matches that they may have together."""
COLUMNS = (Column("id"), Column("score", kind="score"), Column("payload", kind="json"))
RELEVANCE = (Column("relevance", kind="score"), Column("label"))
SURPRISE = (Column("surprise_bits", "surprise", kind="score"),)
EXPLAINED = {
    **dict.fromkeys(("matching", "segments", "tail", "pages_read", "read_calls"), "count"),
    **dict.fromkeys(
        ("io_rounds", "cache_hits", "nodes_expanded", "nodes_visited", "blocks_scanned"), "count"
    ),
    **dict.fromkeys(("codes_scanned", "codes_refined", "vectors_scored"), "count"),
    "bytes_read": "bytes",
    "seconds": "score",
}
"""How a table shows what an explanation tells."""


class Effort(click.ParamType):  # type: ignore[type-arg]  # not generic in click 8.1
    """A number, or the word "bound"."""

    name = "effort"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str:
        if value == "bound":
            return "bound"
        try:
            return float(value)
        except ValueError:
            self.fail(f"expected a number, or bound; got {str(value)[:80]!r}", param, ctx)


@click.command(cls=Command)
@click.argument("collection")
@click.option(
    "--vector",
    "source",
    metavar="FILE|-",
    help="An npy file, or JSON: one vector, or a list of them. - is stdin.",
)
@click.option("--id", "like", metavar="ID", help="Search by the vector of this record.")
@click.option(
    "-k",
    type=click.IntRange(1, limits.K),
    default=10,
    show_default=True,
    help="Matches of each vector.",
)
@click.option(
    "--offset",
    type=click.IntRange(0, limits.K - 1),
    default=0,
    help="Leave out so many of the best: the next page.",
)
@click.option(
    "--diversity",
    type=click.FloatRange(0.0, 1.0),
    help="Of the 4k best, k unlike each other: 0.0 the best alone, 1.0 the most unlike.",
)
@click.option("--group-by", metavar="FIELD", help="The best of each value of a declared field.")
@click.option(
    "--group-size",
    type=click.IntRange(1, limits.GROUP_SIZE),
    help="With --group-by, matches of each value (1); -k tells how many values.",
)
@options.filter_option
@options.tenant_option
@click.option(
    "--mode",
    type=click.Choice(MODES),
    default="auto",
    show_default=True,
    help="exact: compare every vector; scan: read every code; tree: walk over nodes nearby; "
    "graph: walk along neighbours.",
)
@click.option(
    "--effort",
    type=Effort(),
    metavar="NUMBER|bound",
    help="Vectors that a scan compares, or width of a walk: a multiple of the default; or, of a "
    "scan, as the error bound asks.",
)
@click.option("--estimator", type=click.Choice(ESTIMATORS), help="What codes are compared by.")
@click.option("--min-score", type=float, metavar="SCORE", help="Only matches of at least this.")
@click.option("--no-payload", is_flag=True, help="Ids and scores only.")
@click.option("--relevance", is_flag=True, help="Relevance from 0 to 1 with its label (cosine).")
@click.option("--surprise", is_flag=True, help="Bits of how rare a score as good is by chance.")
@options.vector_option
@click.option("--explain", is_flag=True, help="Tell how it was found; ids and scores only.")
@with_target
@with_console
def search(
    collection: str,
    source: str | None,
    like: str | None,
    k: int,
    offset: int,
    diversity: float | None,
    group_by: str | None,
    group_size: int | None,
    condition: dict[str, Any] | None,
    tenant: str | None,
    mode: str,
    effort: float | str | None,
    estimator: str | None,
    min_score: float | None,
    no_payload: bool,
    relevance: bool,
    surprise: bool,
    with_vector: bool,
    explain: bool,
    target: Target,
    console: Console,
) -> None:
    """Show the records nearest to a vector, best first.

    With --id the record itself is among them. A score is higher where it is nearer.
    """
    if (source is None) == (like is None):
        raise click.UsageError("name what to search by: --vector FILE, or --id ID")
    if explain and (with_vector or relevance or surprise):
        raise click.UsageError("--explain shows ids and scores: leave the other columns out")
    if explain and (offset or diversity is not None):
        raise click.UsageError("--explain is of the best: leave --offset and --diversity out")
    if explain and console.format not in ("table", "json"):
        raise click.UsageError("--explain takes -o table or -o json")
    if group_by is None and group_size is not None:
        raise click.UsageError("--group-size is of groups: name their field, --group-by FIELD")
    if group_by is not None and (explain or offset or diversity is not None):
        raise click.UsageError("--group-by goes without --explain, --offset and --diversity")
    queries = None
    if source is not None:
        from .vectors import read_vectors

        queries = read_vectors(source)
    settings: dict[str, Any] = {"tenant": tenant, "filter": condition, "mode": mode}
    settings |= {"min_score": min_score}
    asked = {"effort": effort, "estimator": estimator}
    settings |= {name: value for name, value in asked.items() if value is not None}
    scores = (*(RELEVANCE if relevance else ()), *(SURPRISE if surprise else ()))
    with target.reading() as database:
        records = database.collection(collection)
        if queries is None:
            assert like is not None
            queries = _stored_vector(records, like, tenant)
        if explain:
            show_explained(console, _explanation(records, queries, k, settings))
            return
        settings |= {"with_payload": not no_payload, "with_vector": with_vector}
        settings |= {"offset": offset} if offset else {}
        settings |= {"diversity": diversity} if diversity is not None else {}
        settings |= {"with_relevance": True} if relevance else {}
        settings |= {"with_surprise": True} if surprise else {}
        if group_by is not None:
            settings |= {"groups": k, "group_size": group_size or 1}
            grouped = _grouped(records, queries, group_by, settings)
            show_groups(console, grouped, scores, several=len(queries) > 1, with_vector=with_vector)
            return
        answers = _answers(records, queries, k, settings)
        show(console, answers, scores, several=len(queries) > 1, with_vector=with_vector)


def show(
    console: Console,
    answers: Iterator[Any],
    scores: tuple[Column, ...] = (),
    *,
    several: bool,
    with_vector: bool,
) -> None:
    """JSON has an object a query; lines and tables have a match a row.

    ``scores``: columns beside those that every match has.
    """
    if console.format == "json":
        console.rows(
            (
                {"query": number, "matches": list(rows_of(matches))}
                for number, matches in enumerate(answers)
            ),
            (),
        )
        return
    rows = ((number, row) for number, matches in enumerate(answers) for row in rows_of(matches))
    _show_rows(console, rows, (), scores, several=several, with_vector=with_vector)


def show_groups(
    console: Console,
    answers: Iterator[Any],
    scores: tuple[Column, ...] = (),
    *,
    several: bool,
    with_vector: bool,
) -> None:
    """As ``show``, of ``Groups``: JSON has an object a group in that of the query."""
    if console.format == "json":
        console.rows(
            (
                {
                    "query": number,
                    "groups": [
                        {"value": one.value, "matches": list(rows_of(one.matches))}
                        for one in groups
                    ],
                }
                for number, groups in enumerate(answers)
            ),
            (),
        )
        return
    rows = (
        (number, {"group": one.value, **row})
        for number, groups in enumerate(answers)
        for one in groups
        for row in rows_of(one.matches)
    )
    group = (Column("group"),)
    _show_rows(console, rows, group, scores, several=several, with_vector=with_vector)


def _show_rows(
    console: Console,
    rows: Iterator[tuple[int, dict[str, Any]]],
    before: tuple[Column, ...],
    scores: tuple[Column, ...],
    *,
    several: bool,
    with_vector: bool,
) -> None:
    """A line a match; ``rows``: with the number of the query."""
    numbered = several or console.format != "table"
    shown = ({"query": number, **row} if numbered else row for number, row in rows)
    before = ((Column("query"),) if numbered else ()) + before
    more = (Column("vector", kind="json"),) if with_vector else ()
    distance = () if console.format == "table" else (Column("distance", kind="score"),)
    console.rows(
        shown,
        (*before, *COLUMNS[:2], *distance, *scores, COLUMNS[2], *more),
        empty="no record matches",
    )


def show_explained(console: Console, explanation: Any) -> None:
    """The matches, then what it took to find them; JSON has both in the object of the query."""
    facts, rows = facts_of(explanation), list(rows_of(explanation.matches))
    if console.format == "json":
        console.rows([{"query": 0, "matches": rows, "explanation": facts}], ())
        return
    console.rows(rows, COLUMNS[:2], empty="no record matches")
    click.echo()
    console.facts(facts, EXPLAINED)


def facts_of(explanation: Any) -> dict[str, Any]:
    """An ``Explanation`` of the engine or the client without its matches, as JSON has it."""
    names = (one.name for one in fields(explanation) if one.name != "matches")
    return {name: getattr(explanation, name) for name in names}


def rows_of(matches: Any) -> Iterator[dict[str, Any]]:
    """``Matches`` of the engine or the client, as JSON has them."""
    for match in matches:
        row: dict[str, Any] = {"id": match.id, "score": match.score, "distance": match.distance}
        if match.relevance is not None:
            row |= {"relevance": match.relevance, "label": match.label}
        if match.surprise_bits is not None:
            row["surprise_bits"] = match.surprise_bits
        if matches.payload_bytes is not None:
            row["payload"] = match.payload
        if match.vector is not None:
            row["vector"] = match.vector.tolist()
        yield row


def _stored_vector(records: Any, like: str, tenant: str | None) -> Any:
    (wanted,) = options.record_ids((like,), records.describe().id_kind)
    found = records.get([wanted], tenant=tenant, with_payload=False, with_vector=True)
    if not len(found):
        raise NotFound(f"there is no record {wanted!r} to search by", field="id")
    return found.vectors


def _explanation(records: Any, queries: Any, k: int, settings: dict[str, Any]) -> Any:
    if len(queries) != 1:
        raise click.UsageError(f"--explain takes one vector; got {len(queries)}")
    return records.explain(queries[0], k, **settings)


def _grouped(records: Any, queries: Any, group_by: str, settings: dict[str, Any]) -> Iterator[Any]:
    """The groups of each query."""
    for query in queries:
        yield records.search_groups(query, group_by, **settings)


def _answers(records: Any, queries: Any, k: int, settings: dict[str, Any]) -> Iterator[Any]:
    """Answers in the order of the queries, some of them a call."""
    size = max(1, min(BATCH, BATCH_MATCHES // k))
    for at in range(0, len(queries), size):
        yield from records.search_batch(queries[at : at + size], k, **settings)
