"""Which agent a type of Claude Code's is: the one whose file says this `name`, else whose file is called so.

The key of an agent is its file relative to its agents folder (`core/coder.md`). What has no file, such as `Explore` or
`plugin:reviewer`, is its own key.
"""

import os

from otel_tracker import names
from otel_tracker.environment import claude_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_tracker.document import Document
    from otel_tracker.storage.home import Home

DEFAULT_TYPE = "general-purpose"
"""The type of a sub-agent whose launch names none."""

UNKNOWN_AGENT = "unknown"
"""The one key of all types that Claude Code says don't exist."""


class Resolved:
    """The agent that a type means: its key, and the name to register it with if the document doesn't know it by that."""

    __slots__ = ("key", "new_name")

    def __init__(self, key: str, new_name: "str | None" = None) -> None:
        self.key, self.new_name = key, new_name


def known_key(document: "Document", agent_type: str) -> "str | None":
    """Return the key by which a document seems to know a type, None if it doesn't."""
    return _named(document, agent_type) or _called_so(document, agent_type)


def resolved(document: "Document", agent_type: str, folders: "Iterable[str]") -> Resolved:
    """Return the agent that a type means; where only a file's stem in the document says so, a name in a file says more."""
    named = _named(document, agent_type)
    if named is not None:
        return Resolved(named)
    of_name, of_stem = _files_of(folders, agent_type)
    called_so = _called_so(document, agent_type)
    if of_name is None and called_so is not None:
        return Resolved(called_so)
    return of_name or of_stem or Resolved(agent_type)


def type_of(document: "Document", key: str) -> str:
    """Return what Claude Code calls an agent."""
    return document.agents.get(key, {}).get("name") or names.agent_stem(key)


def folders(home: "Home", project: "str | None") -> "Iterator[str]":
    """Yield the folders that hold agents: the project's, the home, Claude Code's own."""
    project = os.environ.get("CLAUDE_PROJECT_DIR") or project
    if project:
        yield os.path.join(project, ".claude", "agents")
    yield home.folder
    yield os.path.join(claude_folder(), "agents")


def _named(document: "Document", agent_type: str) -> "str | None":
    named = next((key for key, entry in document.agents.items() if entry.get("name") == agent_type), None)
    return named or (agent_type if agent_type in document.agents else None)


def _called_so(document: "Document", agent_type: str) -> "str | None":
    """Return the key of the one file that is called so; where two are, that tells nothing."""
    files = [key for key in document.agents if key.endswith(".md") and names.agent_stem(key) == agent_type]
    return files[0] if len(files) == 1 else None


def _files_of(folders: "Iterable[str]", agent_type: str) -> "tuple[Resolved | None, Resolved | None]":
    """Return the first file that has the type for its name, and the only one that is called so."""
    from otel_tracker.agent_files import agent_files

    called_so: list[Resolved] = []
    for folder in folders:
        for key, name in agent_files(folder):
            if name == agent_type:
                return Resolved(key, name), None
            if names.agent_stem(key) == agent_type:
                called_so.append(Resolved(key, name or agent_type))
    return None, called_so[0] if len(called_so) == 1 else None
