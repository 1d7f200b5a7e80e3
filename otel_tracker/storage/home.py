"""Where the files of a home are."""

import os

from otel_tracker.runtime.environment import DEFAULT_HOME, absolute

DOCUMENT_NAME = "circuit-breaker.json"


class Home:
    """The paths of one document and of what belongs to it.

    A document that is a symbolic link is written through: its journal and backups stay with the link, its lock and
    the note of whose it is are beside the file that the link leads to.
    """

    __slots__ = (
        "_own",
        "append_lock",
        "backups",
        "claim",
        "document",
        "document_lock",
        "folder",
        "journal",
        "left_over",
        "name",
        "named",
        "prices",
        "scripts",
        "spans_position",
    )

    def __init__(self, folder: str, document: "str | None" = None) -> None:
        self.folder = absolute(folder)
        usual = os.path.join(self.folder, "config", DOCUMENT_NAME)
        named = document or usual
        config, file_name = os.path.split(named)
        self.name = _stem(file_name)
        self.named, self.document = named, os.path.realpath(named) if os.path.isabs(named) else named
        self.prices = os.path.join(config, "prices.json")
        self.append_lock = os.path.join(config, f".{self.name}.lock")
        self.spans_position = os.path.join(config, f".{self.name}.spans")
        place, real_name = os.path.split(_stem(self.document))
        self.document_lock = os.path.join(place, f".{real_name}.document.lock")
        self.claim = os.path.join(place, f".{real_name}.home")
        # Documents that share a folder have a journal each: `journal-team`, and `journal-config+team` for config/team.json.
        own = self._own = "" if named == usual else f"-{_inner(_stem(named), self.folder)}"
        self.journal = os.path.join(self.folder, f"journal{own}")
        self.left_over = os.path.join(self.journal, "left-over")
        self.backups = os.path.join(self.folder, f"backups{own}")
        self.scripts = os.path.join(self.folder, "scripts")

    def of_integration(self, name: str) -> str:
        """Return the folder in which the integration `name` keeps what it notes of a coding agent's sessions."""
        return os.path.join(self.folder, f"{name}{self._own}")

    @property
    def option(self) -> "str | None":
        """What a command's `--home` must name for this home, None for the default one."""
        return None if self.folder == absolute(DEFAULT_HOME) else self.folder

    @classmethod
    def of_document(cls, path: "str | os.PathLike[str]") -> "Home":
        """Return the home of the document at `path`: its folder, or the parent of a folder called `config`."""
        document = absolute(os.fspath(path))
        folder = os.path.dirname(document)
        return cls(os.path.dirname(folder) if os.path.basename(folder) == "config" else folder, document)


def _inner(path: str, folder: str) -> str:
    """Return a path in a folder as one name; both may begin in a current folder that is gone."""
    return os.path.relpath(os.path.join(os.sep, path), os.path.join(os.sep, folder)).replace(os.sep, "+")


def _stem(path: str) -> str:
    """Return a path without `.json`; another ending tells documents apart."""
    return path.removesuffix(".json")
