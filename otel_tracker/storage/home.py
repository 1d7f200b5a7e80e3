"""Where the files of a home are."""

import os

from otel_tracker.environment import DEFAULT_HOME

DOCUMENT_NAME = "circuit-breaker.json"


class Home:
    """The paths of one document and of what belongs to it.

    A document that is a symbolic link is written through: its journal and backups stay with the link, its lock and
    the note of whose it is are beside the file that the link leads to.
    """

    __slots__ = (
        "append_lock",
        "backups",
        "claim",
        "claude_code",
        "document",
        "document_lock",
        "folder",
        "journal",
        "left_over",
        "name",
        "named",
        "scripts",
        "spans_position",
    )

    def __init__(self, folder: str, document: "str | None" = None) -> None:
        self.folder = os.path.abspath(os.path.expanduser(folder))
        usual = os.path.join(self.folder, "config", DOCUMENT_NAME)
        named = document or usual
        config, file_name = os.path.split(named)
        self.name = _stem(file_name)
        self.named, self.document = named, os.path.realpath(named)
        self.append_lock = os.path.join(config, f".{self.name}.lock")
        self.spans_position = os.path.join(config, f".{self.name}.spans")
        place, real_name = os.path.split(_stem(self.document))
        self.document_lock = os.path.join(place, f".{real_name}.document.lock")
        self.claim = os.path.join(place, f".{real_name}.home")
        # Documents that share a folder have a journal each: `journal-team`, and `journal-config+team` for config/team.json.
        inner = os.path.relpath(_stem(named), self.folder).replace(os.sep, "+")
        own = "" if named == usual else f"-{inner}"
        self.journal = os.path.join(self.folder, f"journal{own}")
        self.left_over = os.path.join(self.journal, "left-over")
        self.backups = os.path.join(self.folder, f"backups{own}")
        self.claude_code = os.path.join(self.folder, f"claude-code{own}")
        self.scripts = os.path.join(self.folder, "scripts")

    @property
    def option(self) -> "str | None":
        """What a command's `--home` must name for this home, None for the default one."""
        return None if self.folder == os.path.abspath(os.path.expanduser(DEFAULT_HOME)) else self.folder

    @classmethod
    def of_document(cls, path: "str | os.PathLike[str]") -> "Home":
        """Return the home of the document at `path`: its folder, or the parent of a folder called `config`."""
        document = os.path.abspath(os.path.expanduser(os.fspath(path)))
        folder = os.path.dirname(document)
        return cls(os.path.dirname(folder) if os.path.basename(folder) == "config" else folder, document)


def _stem(path: str) -> str:
    """Return a path without `.json`; another ending tells documents apart."""
    return path.removesuffix(".json")
