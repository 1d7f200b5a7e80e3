"""How far the spans of a home's tasks are exported: a file beside the document, and the lock of the process that exports."""

import json

from otel_tracker.storage import lock
from otel_tracker.storage.files import Files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Any

    from otel_tracker.storage.home import Home


class ExportPosition:
    """The position of one home. Only the process that holds it may `save`."""

    def __init__(self, home: "Home") -> None:
        self._path, self._files = home.spans_position, Files()
        self._lock = f"{self._path}.lock"

    def held(self) -> "AbstractContextManager[bool]":
        """Return a context in which no other process can hold the position; it gives False if one does already."""
        return lock.held_if_free(self._lock, self._files)

    def holders(self) -> list[int]:
        """Return the ids of the processes that hold the position, as far as the system tells."""
        return lock.holders(self._lock)

    def load(self) -> tuple[int, list[str]]:
        """Return the number of the last exported event, and the runs that were exported as lost; 0 and none at first."""
        read = self._files.read(self._path)
        try:
            position: dict[str, Any] = json.loads(read[1]) if read else {"seq": 0}
            return int(position["seq"]), [str(run) for run in position.get("lost", ())]
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return 0, []

    def save(self, number: int, lost: list[str]) -> None:
        """Keep the number of the last exported event, and the runs that were exported as lost."""
        position = {"seq": number, **({"lost": lost} if lost else {})}
        self._files.replace(self._path, [json.dumps(position).encode()])
