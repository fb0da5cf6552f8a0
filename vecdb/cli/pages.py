"""Records page by page, in pages that fit a message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .failures import kind_of


def scroll_pages(
    records: Any,
    condition: Any,
    *,
    rows: int,
    tenant: str | None,
    with_vector: bool,
    after: int | str | None = None,
    limit: int | None = None,
    order_by: Any = None,
) -> Iterator[Any]:
    """Pages of at most ``rows`` matching records behind ``after``, ``limit`` records in all.

    A page that is too large for an answer, as its payloads are, is asked for again, smaller.
    """
    left = limit
    while left is None or left > 0:
        size = rows if left is None else min(rows, left)
        try:
            page = records.scroll(
                condition, after, size, tenant=tenant, order_by=order_by, with_vector=with_vector
            )
        except Exception as error:
            if kind_of(error) != "LimitExceeded" or size == 1:
                raise
            rows = size // 2
            continue
        yield page
        after = page.next
        if after is None:
            return
        if left is not None:
            left -= len(page)
