"""Which agent a type of Claude Code's is: the one whose file says this `name`, else whose file is called so.

The key of an agent is its file relative to its agents folder (`core/coder.md`). What has no file, such as `Explore` or
`plugin:reviewer`, is its own key.
"""

from otel_tracker import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_tracker.document import Document

DEFAULT_TYPE = "general-purpose"
"""The type of a sub-agent whose launch names none."""

UNKNOWN_AGENT = "unknown"
"""The one key of all types that Claude Code says don't exist."""


def known_key(document: "Document", agent_type: str) -> "str | None":
    """Return the key by which a document knows a type, None if it doesn't. A file's name that two have tells nothing."""
    named = next((key for key, entry in document.agents.items() if entry.get("name") == agent_type), None)
    if named is not None or agent_type in document.agents:
        return named or agent_type
    files = [key for key in document.agents if key.endswith(".md") and names.agent_stem(key) == agent_type]
    return files[0] if len(files) == 1 else None


def type_of(document: "Document", key: str) -> str:
    """Return what Claude Code calls an agent."""
    return document.agents.get(key, {}).get("name") or names.agent_stem(key)


def find_file(folders: "Iterable[str]", agent_type: str) -> "tuple[str, str] | None":
    """Return key and name of the agent's file in one of the folders, None if no file has this name or is called so."""
    from otel_tracker.agent_files import agent_files

    called_so: list[tuple[str, str]] = []
    for folder in folders:
        for key, name in agent_files(folder):
            if name == agent_type:
                return key, name
            if names.agent_stem(key) == agent_type:
                called_so.append((key, name or agent_type))
    return called_so[0] if len(called_so) == 1 else None
