"""Finds the agent that a type of Claude Code's means: the one whose file has this `name`, else whose file is called so.

Names are compared as Claude Code does (names.normal_name): another spelling of a name is no other agent.

The key of an agent is its file relative to its agents folder (`core/coder.md`). A type without a file, such as `Explore` or
`plugin:reviewer`, is its own key.
"""

import os

from otel_tracker import names
from otel_tracker.integrations.claude_code.variables import project_agents, user_agents
from otel_tracker.state import lookup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_tracker.state.document import Document
    from otel_tracker.storage.home import Home

DEFAULT_TYPE = "general-purpose"
"""The type of a sub-agent whose launch names none."""

UNKNOWN_AGENT = "unknown"
"""The one key of all types that don't exist, as Claude Code reports."""


class Resolved:
    """The agent that a type means: its key, and the name to register it with if the document doesn't know it by that."""

    __slots__ = ("key", "new_name")

    def __init__(self, key: str, new_name: "str | None" = None) -> None:
        self.key, self.new_name = key, new_name


def known_key(document: "Document", agent_type: str, home: "Home") -> "str | None":
    """Return the key of the agent in a document that a type seems to mean, None if there is none, or more than one.

    If a project and the user have an agent of the same name, it is the user's: callers ask `project_agent` first.
    """
    keys = lookup.keys_of(document, agent_type)
    if len(keys) > 1:
        keys = [key for key in keys if os.path.exists(os.path.join(home.folder, key))]
    return keys[0] if len(keys) == 1 else None


def resolved(document: "Document", agent_type: str, project: "str | None", home: "Home") -> Resolved:
    """Return the agent that a type means, for a session that works in the folder `project`.

    An agent of the project comes before one of the user's with the same name, as in Claude Code. A `name` in a file counts
    more than the stem of a file that the document has.
    """
    of_project = project_agent(agent_type, project)
    if of_project is not None:
        is_registered = document.agents.get(of_project.key, {}).get("name") == of_project.new_name
        return Resolved(of_project.key) if is_registered else of_project
    in_document = known_key(document, agent_type, home)
    if in_document is not None and _is_named(document, in_document, agent_type):
        return Resolved(in_document)
    of_name, of_stem = _files_of((home.folder, user_agents()), agent_type)
    if of_name is None and in_document is not None:
        return Resolved(in_document)
    return of_name or of_stem or Resolved(agent_type)


def project_agent(agent_type: str, project: "str | None") -> "Resolved | None":
    """Return the agent of a project that a type names, None if the project has none."""
    folder = project_agents(project)
    return _files_of((folder,), agent_type)[0] if folder and os.path.isdir(folder) else None


def type_of(document: "Document", key: str) -> str:
    """Return the name by which Claude Code calls an agent."""
    return document.agents.get(key, {}).get("name") or names.agent_stem(key)


def _is_named(document: "Document", key: str, agent_type: str) -> bool:
    """Tell whether an agent's name or key is a type, and not merely the stem of its file."""
    called = (key, document.agents[key].get("name") or "")
    return names.normal_name(agent_type) in map(names.normal_name, called)


def _files_of(folders: "Iterable[str]", agent_type: str) -> "tuple[Resolved | None, Resolved | None]":
    """Return the file whose `name` is the type, preferably to the letter, and the only file that is called so; None for neither."""
    from otel_tracker.integrations.agent_files import agent_files

    wanted, named, called_so = names.normal_name(agent_type), None, []
    for key, name in (file for folder in folders for file in agent_files(folder)):
        if name == agent_type:
            return Resolved(key, name), None
        if name is not None and names.normal_name(name) == wanted:
            named = named or Resolved(key, name)
        elif names.normal_name(names.agent_stem(key)) == wanted:
            called_so.append(Resolved(key, name or agent_type))
    return named, called_so[0] if len(called_so) == 1 else None
