"""Where the files of a home are."""

import os

from otel_tracker.runtime.environment import DEFAULT_HOME, absolute

DOCUMENT_NAME = "circuit-breaker.json"


class Home:
    """The paths of one document and of what belongs to it.

    `config_file` is the document's path as a user gives it, and `document` the file that it leads to: a symbolic link is
    written through. The journal and the backups stay with `config_file`; the document's lock and the note that says which home
    the document belongs to (`claim`) are beside `document`. `stem` is the file's name without `.json`, with which the names of
    backups begin. `unwritten` is the folder of events that a process could not record.
    """

    __slots__ = (
        "_own",
        "append_lock",
        "archive",
        "backups",
        "claim",
        "config_file",
        "document",
        "document_lock",
        "folder",
        "journal",
        "prices",
        "scripts",
        "spans_position",
        "stem",
        "unwritten",
    )

    def __init__(self, folder: str, document: "str | None" = None) -> None:
        self.folder = absolute(folder)
        usual = os.path.join(self.folder, "config", DOCUMENT_NAME)
        self.config_file = path = document or usual
        self.document = os.path.realpath(path) if os.path.isabs(path) else path
        config_folder, file_name = os.path.split(path)
        self.stem = _stem(file_name)
        self.prices = os.path.join(config_folder, "prices.json")
        self.append_lock = os.path.join(config_folder, f".{self.stem}.lock")
        self.spans_position = os.path.join(config_folder, f".{self.stem}.spans")
        real_folder, real_stem = os.path.split(_stem(self.document))
        self.document_lock = os.path.join(real_folder, f".{real_stem}.document.lock")
        self.claim = os.path.join(real_folder, f".{real_stem}.home")
        # Documents that share a folder have a journal each: `journal-team`, and `journal-config+team` for config/team.json.
        own = self._own = "" if path == usual else f"-{_inner(_stem(path), self.folder)}"
        self.journal = os.path.join(self.folder, f"journal{own}")
        self.unwritten = os.path.join(self.journal, "left-over")
        self.backups = os.path.join(self.folder, f"backups{own}")
        self.archive = os.path.join(self.folder, f"archive{own}")
        self.scripts = os.path.join(self.folder, "scripts")

    def of_integration(self, name: str) -> str:
        """Return the folder in which the integration `name` keeps what it notes of a coding agent's sessions."""
        return os.path.join(self.folder, f"{name}{self._own}")

    @property
    def option(self) -> "str | None":
        """The folder that a command's `--home` must name for this home, None for the default one."""
        return None if self.folder == absolute(DEFAULT_HOME) else self.folder

    @classmethod
    def of_document(cls, path: "str | os.PathLike[str]") -> "Home":
        """Return the home of the document at `path`: its folder, or the parent of a folder called `config`."""
        document = absolute(os.fspath(path))
        folder = os.path.dirname(document)
        return cls(os.path.dirname(folder) if os.path.basename(folder) == "config" else folder, document)


def _inner(path: str, folder: str) -> str:
    """Return a path in a folder as one name; both paths may be relative, to a current folder that has been deleted."""
    return os.path.relpath(os.path.join(os.sep, path), os.path.join(os.sep, folder)).replace(os.sep, "+")


def _stem(path: str) -> str:
    """Return a path without `.json`; any other ending stays, for it distinguishes two documents."""
    return path.removesuffix(".json")
