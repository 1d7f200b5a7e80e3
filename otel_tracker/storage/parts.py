"""The parts of a home that a store, its transactions and the doctor work on: files, journal, backups, document."""

from otel_tracker.runtime.log import warn
from otel_tracker.storage.backups import Backups
from otel_tracker.storage.document_file import DocumentFile
from otel_tracker.storage.journal import Journal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tracker.storage.files import Files
    from otel_tracker.storage.home import Home


class Parts:
    """One process's view of one home. What it remembers of the files is guarded by the store's lock between threads."""

    def __init__(self, home: "Home", files: "Files", clock: "Callable[[], float]") -> None:
        """`clock` returns seconds since 1970."""
        self.home, self.files, self.clock = home, files, clock
        self.journal = Journal(home.journal, files)
        self.backups = Backups(home, files, self.journal)
        self.document_file = DocumentFile(home, files, self.journal, self.backups)
        self._logged: set[str] = set()

    def warn_once(self, message: str, log: "Callable[..., None]" = warn) -> None:
        """Log a warning, with `warn` or `notice`, unless the same one about this home was logged before."""
        if message not in self._logged:
            self._logged.add(message)
            log("%s", message)
