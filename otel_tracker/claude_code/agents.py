"""Which agent a type of Claude Code's is: the one whose file says this `name`, else whose file is called so.

Names are compared as Claude Code does (names.normal_name): no other spelling of a name is another agent.

The key of an agent is its file relative to its agents folder (`core/coder.md`). What has no file, such as `Explore` or
`plugin:reviewer`, is its own key.
"""

import os

from otel_tracker import names
from otel_tracker.environment import claude_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

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


def resolved(document: "Document", agent_type: str, project: "str | None", home: "Home") -> Resolved:
    """Return the agent that a type means, for a session that works in the folder `project`.

    An agent of the project goes before one of the user's with the same name, as in Claude Code. Where only a file's stem in
    the document names the type, a name in a file says more.
    """
    of_project = project_agent(agent_type, project)
    if of_project is not None:
        is_registered = document.agents.get(of_project.key, {}).get("name") == of_project.new_name
        return Resolved(of_project.key) if is_registered else of_project
    named = _named(document, agent_type)
    if named is not None:
        return Resolved(named)
    of_name, of_stem = _files_of((home.folder, os.path.join(claude_folder(), "agents")), agent_type)
    called_so = _called_so(document, agent_type)
    if of_name is None and called_so is not None:
        return Resolved(called_so)
    return of_name or of_stem or Resolved(agent_type)


def project_agent(agent_type: str, project: "str | None") -> "Resolved | None":
    """Return the agent of a project that a type names, None if the project has none."""
    project = os.environ.get("CLAUDE_PROJECT_DIR") or project
    folder = os.path.join(project, ".claude", "agents") if project else ""
    return _files_of((folder,), agent_type)[0] if os.path.isdir(folder) else None


def type_of(document: "Document", key: str) -> str:
    """Return what Claude Code calls an agent."""
    return document.agents.get(key, {}).get("name") or names.agent_stem(key)


def _named(document: "Document", agent_type: str) -> "str | None":
    agents, wanted = document.agents, names.normal_name(agent_type)
    by_name = [(key, entry["name"]) for key, entry in agents.items() if entry.get("name")]
    named = [
        (key, name) for key, name in [*by_name, *zip(agents, agents, strict=True)] if names.normal_name(name) == wanted
    ]
    return next((key for key, name in named if name == agent_type), named[0][0] if named else None)


def _called_so(document: "Document", agent_type: str) -> "str | None":
    """Return the key of the one file that is called so; where two are, that tells nothing."""
    wanted = names.normal_name(agent_type)
    files = [key for key in document.agents if key.endswith(".md") and _normal_stem(key) == wanted]
    return files[0] if len(files) == 1 else None


def _files_of(folders: "Iterable[str]", agent_type: str) -> "tuple[Resolved | None, Resolved | None]":
    """Return the first file that has the type for its name, to the letter if there is one, and the only one that is called so."""
    from otel_tracker.agent_files import agent_files

    wanted, named, called_so = names.normal_name(agent_type), None, []
    for key, name in (file for folder in folders for file in agent_files(folder)):
        if name == agent_type:
            return Resolved(key, name), None
        if name is not None and names.normal_name(name) == wanted:
            named = named or Resolved(key, name)
        elif _normal_stem(key) == wanted:
            called_so.append(Resolved(key, name or agent_type))
    return named, called_so[0] if len(called_so) == 1 else None


def _normal_stem(key: str) -> str:
    return names.normal_name(names.agent_stem(key))
