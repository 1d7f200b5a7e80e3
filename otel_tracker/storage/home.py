"""Where the files of a home are."""

import os

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
        "document",
        "document_lock",
        "folder",
        "journal",
        "left_over",
        "name",
        "named",
        "scripts",
    )

    def __init__(self, folder: str, document: "str | None" = None) -> None:
        self.folder = os.path.abspath(os.path.expanduser(folder))
        named = document or os.path.join(self.folder, "config", DOCUMENT_NAME)
        config, file_name = os.path.split(named)
        self.name = os.path.splitext(file_name)[0]
        is_usual = file_name == DOCUMENT_NAME
        self.named, self.document = named, os.path.realpath(named)
        self.append_lock = os.path.join(config, f".{self.name}.lock")
        place, real_name = os.path.split(os.path.splitext(self.document)[0])
        self.document_lock = os.path.join(place, f".{real_name}.document.lock")
        self.claim = os.path.join(place, f".{real_name}.home")
        # Documents of other names that share a folder have a journal each.
        self.journal = os.path.join(self.folder, "journal" if is_usual else f"journal-{self.name}")
        self.left_over = os.path.join(self.journal, "left-over")
        self.backups = os.path.join(self.folder, "backups")
        self.scripts = os.path.join(self.folder, "scripts")

    @classmethod
    def of_document(cls, path: "str | os.PathLike[str]") -> "Home":
        """Return the home of the document at `path`: its folder, or the parent of a folder called `config`."""
        document = os.path.abspath(os.path.expanduser(os.fspath(path)))
        folder = os.path.dirname(document)
        return cls(os.path.dirname(folder) if os.path.basename(folder) == "config" else folder, document)
