"""What an import has to read: the folders of transcripts that are not as they were when they were read last."""

from typing import NamedTuple

from otel_tracker.integrations.claude_code.past.transcript_files import transcript_files
from otel_tracker.integrations.claude_code.runs.run import digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_tracker.integrations.claude_code.past.transcript_files import TranscriptFile
    from otel_tracker.integrations.claude_code.runs.ledger import Ledger

    Folders = dict[str, list[TranscriptFile]]
    """The files of each folder, the oldest first."""


class Group(NamedTuple):
    """Folders that are read together, since they have parts of one session, or of one agent."""

    files: "list[TranscriptFile]"
    """The oldest first."""
    states: "dict[str, str]"
    """By folder, a digest of the names, sizes and times of its files."""

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return sum([file.size for file in self.files])


class Unread:
    """The groups to read below some paths, and the number of folders that were read before and are `unchanged`."""

    def __init__(self, paths: "Iterable[str]", counted: "Ledger", since: "float | None" = None) -> None:
        """Leave out groups to which nothing was written since a moment. Raises StorageError (transcript_files.py)."""
        folders: Folders = {}
        for file in transcript_files(paths):
            folders.setdefault(file.folder, []).append(file)
        states = {folder: _state_of(files) for folder, files in folders.items()}
        read = {folder for folder, state in states.items() if counted.has_read(folder, state, since)}
        self.unchanged, self.groups = 0, []
        for together in _joined(folders) if len(read) < len(folders) else [folders]:
            if read.issuperset(together):
                self.unchanged += len(together)
                continue
            files = sorted([file for folder in together for file in folders[folder]])
            if since is None or files[-1].modified >= since:
                self.groups.append(Group(files, {folder: states[folder] for folder in together}))


def _joined(folders: "Folders") -> "Iterable[list[str]]":
    """Return folders in groups that share no session and no agent."""
    above: dict[str, str] = {}

    def top(name: str) -> str:
        while (other := above.setdefault(name, name)) != name:
            name = other
        return name

    for folder, files in folders.items():
        for name in {name for file in files for name in (file.session_id, file.agent_id) if name}:
            above[top(name)] = top(folder)
    groups: dict[str, list[str]] = {}
    for folder in folders:
        groups.setdefault(top(folder), []).append(folder)
    return groups.values()


def _state_of(files: "list[TranscriptFile]") -> str:
    return digest("\0".join(sorted([f"{file.path}\0{file.size}\0{file.modified!r}" for file in files])))
