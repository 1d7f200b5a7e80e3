"""Makes the backups that are due, and afterwards deletes the backups that are too many and retires the segments that no backup needs."""

import os

from otel_tracker.errors import StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.storage.appender import Appender
    from otel_tracker.storage.files import Files
    from otel_tracker.storage.home import Home
    from otel_tracker.storage.parts import Parts

BACKUP_SECONDS = 3600
_NEVER = float("-inf")


class Maintenance:
    """Keeps the files of one home in order. The caller must hold the document lock."""

    def __init__(self, parts: "Parts", appender: "Appender") -> None:
        self._parts, self._appender = parts, appender
        self._file, self._backups = parts.document_file, parts.backups
        self._backed_up_at = _NEVER
        self._is_swept = False

    def keep_copy(self) -> "str | None":
        """Make a backup of the document as it is on the disk, and return its path; None if there is no valid one."""
        text = self._file.valid_text()
        if text is None:
            return None
        self._appender.flush_all()  # a backup must not have what the journal loses when the power is cut
        now = self._parts.clock()
        path = self._backups.create(text, now)
        self._backed_up_at = now
        return path

    def keep_copy_if_possible(self) -> None:
        """Make a backup; if that fails, log why and go on."""
        try:
            self.keep_copy()
        except StorageError as error:
            self._parts.warn_once(f"{error} (going on without a new backup)")

    def ensure_copy(self) -> None:
        """Make a backup if one is due; raises StorageError if it can't be made."""
        if self.is_backup_due():
            self.keep_copy()

    def is_backup_due(self) -> bool:
        """Tell whether a backup is due: before the first write of an hour, and if another program has written the document."""
        if self._file.damage is not None:
            return False
        if self._file.is_foreign:
            return True
        hour_ago = self._parts.clock() - BACKUP_SECONDS
        if not hour_ago < self._backed_up_at <= hour_ago + BACKUP_SECONDS:
            made = [self._backups.made_at(path) for path in self._backups.paths()]
            self._backed_up_at = max((at for at in made if at <= hour_ago + BACKUP_SECONDS), default=_NEVER)
        return self._backed_up_at <= hour_ago

    def tidy(self) -> None:
        """Delete the backups that are too many, and retire the segments of the journal that no backup needs."""
        try:
            self._backups.prune()
            from otel_tracker.storage.retention import retire_old_segments  # here: most processes make no backup

            retire_old_segments(self._parts)
        except StorageError as error:
            self._parts.warn_once(str(error))

    def sweep(self) -> None:
        """Delete the temporary files that killed processes have left, the first time that it is called."""
        if not self._is_swept:
            self._is_swept = True
            for path in temporary_files(self._parts.home, self._parts.files):
                self._parts.files.remove(path)


def temporary_files(home: "Home", files: "Files") -> list[str]:
    """Return the temporary files of documents, backups and the archive: of killed processes, unless a process is writing one just now."""
    beginnings = (
        *(f"{home.document}.", f"{home.claim}."),
        *(os.path.join(home.backups, home.stem), os.path.join(home.archive, "")),
    )
    return [path for beginning in beginnings for path in files.temporary_files(beginning)]
