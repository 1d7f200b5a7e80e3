"""The files of transcripts in folders of Claude Code's: each once, whatever links and copies of paths lead to it."""

import os
from contextlib import suppress
from typing import NamedTuple

from otel_tracker.errors import InvalidValueError, StorageError
from otel_tracker.integrations.claude_code.transcripts.places import agent_in_name
from otel_tracker.integrations.claude_code.variables import transcript_folders
from otel_tracker.runtime.environment import absolute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SUFFIX, _JOURNAL, _SUBAGENTS, _PROJECTS = ".jsonl", "journal.jsonl", "subagents", "projects"


class TranscriptFile(NamedTuple):
    """A file, when it was last written to (seconds since 1970), and how long it is."""

    modified: float
    path: str
    size: int

    @property
    def is_journal(self) -> bool:
        """Whether it tells which agents of a workflow have given their result."""
        return os.path.basename(self.path) == _JOURNAL

    @property
    def agent_id(self) -> "str | None":
        """The agent whose transcript it is; None for that of a session."""
        return agent_in_name(self.path)

    @property
    def session_id(self) -> "str | None":
        """The session that the path names; None for an agent's of versions that kept them beside the session's file."""
        parts = self.path.split(os.sep)
        if _SUBAGENTS in parts[1:]:
            return parts[parts.index(_SUBAGENTS, 1) - 1]
        return None if self.agent_id else parts[-1].removesuffix(_SUFFIX)

    @property
    def folder(self) -> str:
        """The folder of the project that it is of, with the sessions' files."""
        parts = self.path.split(os.sep)
        if _SUBAGENTS in parts[1:]:
            return os.sep.join(parts[: parts.index(_SUBAGENTS, 1) - 1])
        return os.path.dirname(self.path)


def chosen_paths(named: "list[str]") -> "list[str]":
    """Return the paths that a command line names, else the user's folders that there are; raises InvalidValueError."""
    for path in named:
        if not os.path.exists(path):
            raise InvalidValueError(
                "a path of transcripts", path, "a folder of Claude Code's, or a transcript, that exists"
            )
    return [absolute(path) for path in named] or [path for path in transcript_folders() if os.path.isdir(path)]


def transcript_files(paths: "Iterable[str]", since: "float | None" = None) -> "list[TranscriptFile]":
    """Return the files in folders, or named themselves, that were written to since a moment, the oldest first.

    A folder may be Claude Code's own, of all projects, of one, or of a session; with a session's file come its agents'. Links are followed, unless they lead back to a
    folder around the named one; a file is taken by the path that has the fewest links. Raises StorageError where a path
    that is named can't be read; folders below that can't be read are left out.
    """
    candidates: list[tuple[bool, str, os.stat_result]] = []
    folders: list[str] = []
    for path in paths:
        try:
            status = os.stat(path)
        except (OSError, ValueError) as error:
            raise StorageError("read", path, getattr(error, "strerror", None) or str(error)) from error
        if os.path.isdir(path):
            inner = os.path.join(path, _PROJECTS)
            folders.append(inner if os.path.isdir(inner) else path)
        else:
            candidates.append((False, path, status))
            folders += filter(os.path.isdir, [path.removesuffix(_SUFFIX)])  # of the session's agents
    candidates += _walk(folders)
    files: dict[tuple[int, int], TranscriptFile] = {}
    for _, path, status in sorted(candidates, key=lambda one: one[:2]):
        if since is None or status.st_mtime >= since:
            one = TranscriptFile(status.st_mtime, path, status.st_size)
            files.setdefault((status.st_dev, status.st_ino), one)
    return sorted(files.values())


def _walk(tops: "list[str]") -> "Iterator[tuple[bool, str, os.stat_result]]":
    """Yield the files below folders: whether a link leads to each, its path and status. Links to folders come last."""
    waiting = [(top, os.path.realpath(top), False) for top in reversed(tops)]
    walked: set[tuple[int, int]] = set()
    while waiting:
        links: list[tuple[str, str, bool]] = []
        while waiting:
            folder, top, is_linked = waiting.pop()
            inside = _entries(folder, walked)
            for entry in inside:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((entry.path, top, is_linked))
                elif entry.is_symlink() and entry.is_dir():
                    if not _leads_back(entry.path, top):
                        links.append((entry.path, top, True))
                elif entry.name.endswith(_SUFFIX) and entry.is_file():
                    with suppress(OSError):  # it has just been deleted
                        yield is_linked or entry.is_symlink(), entry.path, entry.stat()
        waiting = links


def _entries(folder: str, walked: "set[tuple[int, int]]") -> "list[os.DirEntry[str]]":
    """Return what is in a folder; nothing if it was walked before, or can't be read."""
    try:
        status = os.stat(folder)
        identity = status.st_dev, status.st_ino
        if identity in walked:
            return []
        walked.add(identity)
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _leads_back(link: str, top: str) -> bool:
    """Tell whether a link leads to a folder around `top`, or to that itself."""
    return os.path.join(top, "").startswith(os.path.join(os.path.realpath(link), ""))
