"""When a backup is due, and what is deleted after one: backups that are too many, segments that no backup needs."""

import os

from otel_tracker.errors import StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tracker.storage.backups import Backups
    from otel_tracker.storage.document_file import DocumentFile
    from otel_tracker.storage.files import Files
    from otel_tracker.storage.home import Home
    from otel_tracker.storage.journal import Journal

BACKUP_SECONDS = 3600
_NEVER = float("-inf")


class Upkeep:
    """Looks after the files of one home. The caller must hold the document's lock.

    `flush` brings the journal to the disk, `say` tells people what is wrong.
    """

    def __init__(
        self,
        home: "Home",
        files: "Files",
        document_file: "DocumentFile",
        backups: "Backups",
        journal: "Journal",
        clock: "Callable[[], float]",
        flush: "Callable[[], None]",
        say: "Callable[[str], None]",
    ) -> None:
        self._home, self._files, self._clock = home, files, clock
        self._file, self._backups, self._journal = document_file, backups, journal
        self._flush, self._say = flush, say
        self._backed_up_at = _NEVER
        self._is_swept = False

    def keep_copy(self) -> "str | None":
        """Make a backup of the document as it is on the disk, and return its path; None if there is no valid one."""
        text = self._file.valid_text()
        if text is None:
            return None
        self._flush()  # a backup must not have what the journal loses when the power is cut
        now = self._clock()
        path = self._backups.create(text, now)
        self._backed_up_at = now
        return path

    def keep_copy_if_possible(self) -> None:
        """Make a backup; where that fails, say so and go on."""
        try:
            self.keep_copy()
        except StorageError as error:
            self._say(f"{error} (going on without a new backup)")

    def ensure_copy(self) -> None:
        """Make a backup if one is due; raises StorageError where that fails."""
        if self.is_backup_due():
            self.keep_copy()

    def is_backup_due(self) -> bool:
        """Tell whether the document should be kept before it is written anew.

        It is before the first write of an hour, and where another program has written it.
        """
        if self._file.damage is not None:
            return False
        if self._file.is_foreign:
            return True
        hour_ago = self._clock() - BACKUP_SECONDS
        if not hour_ago < self._backed_up_at <= hour_ago + BACKUP_SECONDS:
            made = [self._backups.made_at(path) for path in self._backups.paths()]
            self._backed_up_at = max((at for at in made if at <= hour_ago + BACKUP_SECONDS), default=_NEVER)
        return self._backed_up_at <= hour_ago

    def tidy(self) -> None:
        """Delete the backups that are too many, and the segments of the journal that no backup needs."""
        try:
            self._backups.prune()
            from otel_tracker.storage.retention import delete_old_segments  # here: most processes make no backup

            delete_old_segments(self._file.load(), self._journal, self._backups, self._files, self._clock())
        except StorageError as error:
            self._say(str(error))

    def sweep(self) -> None:
        """Delete what killed processes have left of their attempts to write a document or a backup, once."""
        if not self._is_swept:
            self._is_swept = True
            for left in temporary_files(self._home, self._files):
                self._files.remove(left)


def temporary_files(home: "Home", files: "Files") -> list[str]:
    """Return what is left of attempts to write a document or a backup, if no process is writing one just now."""
    beginnings = (f"{home.document}.", f"{home.claim}.", os.path.join(home.backups, home.name))
    return [path for beginning in beginnings for path in files.temporary_files(beginning)]
