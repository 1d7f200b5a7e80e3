"""Backups: copies of validated documents, named by the second (UTC) in which they were made."""

import os
import re

from otel_tracker.errors import DocumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from otel_tracker.codec import DocumentCodec
    from otel_tracker.document import Document
    from otel_tracker.storage.files import Files
    from otel_tracker.storage.home import Home

_STAMP = "%Y%m%d_%H%M%S"
_DAMAGED, _KEPT_DAMAGED = ".corrupt-", 5


class Backups:
    """The backups of one document."""

    def __init__(self, home: "Home", files: "Files") -> None:
        self._folder, self._files = home.backups, files
        self._prefix = f"{home.name}_"
        self._pattern = re.compile(re.escape(self._prefix) + r"\d{8}_\d{6}\.json")

    def paths(self) -> list[str]:
        """Return the paths of all backups, oldest first."""
        names = [name for name in self._files.names(self._folder) if self._pattern.fullmatch(name)]
        return [os.path.join(self._folder, name) for name in sorted(names)]

    def create(self, content: bytes, now: float) -> str:
        """Keep `content` and return the path; a name that is taken moves on to the next second."""
        self._files.make_folder(self._folder)
        second = int(now)
        while True:
            path = os.path.join(self._folder, f"{self._prefix}{_stamp(second)}.json")
            if self._files.create(path, content):
                return path
            second += 1

    def newest_valid(self, codec: "DocumentCodec") -> "tuple[str, Document] | None":
        """Return the newest backup that can be read, and the document that it holds; None if there is none."""
        for path in reversed(self.paths()):
            read = self._files.read(path)
            try:
                document = codec.decode(read[1], path) if read else None
                if document is not None and document.history.entries() is not None:
                    return path, document
            except DocumentError:
                continue
        return None

    def keep_damaged(self, content: bytes, now: float) -> str:
        """Keep a damaged document beside the backups, apart from them, and return its path; the newest 5 are kept."""
        self._files.make_folder(self._folder)
        prefix, second = self._prefix[:-1] + _DAMAGED, int(now)
        kept = sorted(name for name in self._files.names(self._folder) if name.startswith(prefix))
        # Behind the newest one, whose second it may share: the oldest are deleted by their names.
        while kept and f"{prefix}{_stamp(second)}.json" <= kept[-1]:
            second += 1
        name = f"{prefix}{_stamp(second)}.json"
        self._files.create(os.path.join(self._folder, name), content)
        for old in [*kept, name][:-_KEPT_DAMAGED]:
            self._files.remove(os.path.join(self._folder, old))
        return os.path.join(self._folder, name)

    def made_at(self, path: str) -> float:
        """Return the moment that the name of a backup says."""
        from datetime import datetime, timezone

        stamp = os.path.basename(path)[len(self._prefix) : -len(".json")]
        return datetime.strptime(stamp, _STAMP).replace(tzinfo=timezone.utc).timestamp()

    def settings(self, path: str, codec: "DocumentCodec") -> "Any":
        """Return the settings that a backup holds, None if it can't be read."""
        read = self._files.read(path)
        try:
            return settings_of(codec.decode(read[1], path).head) if read else None
        except DocumentError:
            return None


def settings_of(head: "dict[str, Any]") -> "Any":
    """Return what people may change by hand in a document: its `config`, and the agents' own."""
    return head["config"], {key: agent["config"] for key, agent in head["agents"].items() if agent.get("config")}


def _stamp(second: int) -> str:
    from datetime import datetime, timezone

    return datetime.fromtimestamp(second, timezone.utc).strftime(_STAMP)
