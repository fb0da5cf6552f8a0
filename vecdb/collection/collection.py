"""One collection of an embedded database; the client's ``Collection`` has the same methods."""

from __future__ import annotations

from typing import Any, Literal

from ..deadline import Deadline
from ..results import CollectionInfo, SealResult
from . import reads
from .arguments import check_flag
from .budget import set_budget
from .field_methods import FieldMethods
from .read_methods import ReadMethods
from .sealer import built_result
from .search_methods import SearchMethods
from .tenant_methods import TenantMethods
from .write_methods import WriteMethods


class Collection(WriteMethods, ReadMethods, SearchMethods, TenantMethods, FieldMethods):
    """A handle of one collection, by its name or an alias; cheap, and safe for any thread.

    ``timeout`` of every method: seconds, or None.
    """

    def describe(self, *, timeout: float | None = None) -> CollectionInfo:
        """Dimension, metric, fields, number of records."""
        Deadline.after(timeout).check("opening the collection")
        with self._store.view(self.name) as view:
            return reads.describe(self._store, view.transaction, view.row, view.state)

    def stats(self, *, timeout: float | None = None) -> dict[str, Any]:
        """Counters and sizes of the collection."""
        Deadline.after(timeout).check("opening the collection")
        with self._store.view(self.name) as view:
            return reads.stats(self._store, view.transaction, view.row, view.state)

    def set_memory_budget(
        self, memory_budget: int | None, *, timeout: float | None = None
    ) -> CollectionInfo:
        """Keep the sealed records in so many bytes from now on; None: all of it in memory.

        Searches go on meanwhile. Segments whose pages are not laid out for it are rewritten.
        """
        row = self._store.row(self.name)
        set_budget(self._store, row, memory_budget, Deadline.after(timeout))
        return self.describe()

    def seal(self, *, wait: bool = True, timeout: float | None = None) -> SealResult:
        """Put the records of the tail into a segment now, rather than when there are enough.

        Reads and writes go on meanwhile. ``wait=False`` returns at once, with zeros; where
        ``timeout`` ends first the work goes on too.
        """
        return self._build("seal", wait, timeout)

    def compact(self, *, wait: bool = True, timeout: float | None = None) -> SealResult:
        """Make one segment of all, as far as the memory for builds allows, without dead slots."""
        return self._build("compact", wait, timeout)

    def _build(
        self, kind: Literal["seal", "compact"], wait: bool, timeout: float | None
    ) -> SealResult:
        deadline = Deadline.after(timeout)
        check_flag("wait", wait)
        row = self._store.row(self.name)
        return built_result(self._store.build(row, kind), deadline, wait=wait)
