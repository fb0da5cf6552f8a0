"""The methods of a collection that change its declared fields."""

from __future__ import annotations

from ..deadline import Deadline
from ..results import CollectionInfo
from . import reads
from .arguments import check_flag
from .declaring import add_field, drop_field
from .handle import Handle
from .sealer import built_result


class FieldMethods(Handle):
    """Add and drop."""

    def add_field(
        self, name: str, type: str, *, wait: bool = False, timeout: float | None = None
    ) -> CollectionInfo:
        """Declare a payload field that filters may use from now on.

        Types as in ``create_collection``. ``PreconditionFailed`` (reason UNFIT_RECORD), with
        nothing changed, where a record has a value that does not fit. Segments get columns of it
        in the background; until then filters on it are as exact, and slower. ``wait``: return
        when they have them.
        """
        deadline = Deadline.after(timeout)
        check_flag("wait", wait)
        row = self._store.row(self.name)
        add_field(self._store, row, name, type, deadline)
        built_result(self._store.add_columns(row), deadline, wait=wait)
        return self._described()

    def drop_field(self, name: str, *, timeout: float | None = None) -> CollectionInfo:
        """Take the declaration of a field back: payloads keep its values, filters refuse it."""
        drop_field(self._store, self._store.row(self.name), name, Deadline.after(timeout))
        return self._described()

    def _described(self) -> CollectionInfo:
        with self._store.view(self.name) as view:
            return reads.describe(self._store, view.transaction, view.row, view.state)
