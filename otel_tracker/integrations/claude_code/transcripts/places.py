"""Where Claude Code keeps the transcripts of a session's sub-agents.

Beside the session's file `<session>.jsonl` lies `<session>/subagents/`, with `agent-<id>.jsonl` and its sidecar
`agent-<id>.meta.json`; agents of a workflow are in `workflows/<id>/` in there. The layout is Claude Code's own, internal,
and documented nowhere officially; seen in versions up to 2.1.332. Agent ids come from outside: none of them leads elsewhere.
"""

import json
import os

from otel_tracker.integrations.claude_code.transcripts.lines import count, text
from otel_tracker.runtime.limits import SIDECAR_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

INTERNAL = ("acompact-", "aprompt_suggestion-", "aside_question-")
"""The beginnings of the ids of Claude Code's own helpers."""

_PREFIX, _SUFFIX = "agent-", ".jsonl"
_SIDECAR_TEXTS = ("agentType", "toolUseId", "name", "taskKind", "parentAgentId")
_SPAWNED_TYPES = ("spawnedAgentType", "customAgentType")  # a teammate's, whose `agentType` is its name
_LONGEST_ID = 128
_ID_SIGNS = "-_.@+="
_DEEPEST = 3  # folders below `subagents`


def agent_transcript(
    session_transcript: "str | None",
    agent_id: str,
    path: "str | None" = None,
    elsewhere: "Callable[[], dict[str, str]] | None" = None,
) -> "str | None":
    """Return the path of an agent's transcript, None if there is none.

    `path` is the one that Claude Code names. It counts if that file exists and isn't the session's own. `elsewhere` returns
    what transcripts_below does, which is called without it.
    """
    named = _file(path)
    if named is not None and not _is_same(named, _expanded(session_transcript)):
        return named
    folder = _subagents(session_transcript)
    agent = plain_agent_id(agent_id)
    if folder is None or not is_safe(agent):
        return None
    direct = _file(os.path.join(folder, f"{_PREFIX}{agent}{_SUFFIX}"))
    return direct or (elsewhere() if elsewhere else transcripts_below(session_transcript)).get(agent)


def found_transcript(folders: "Iterable[str]", session_id: str, agent_id: str) -> "str | None":
    """Return the path of an agent's transcript in folders of transcripts, each with a folder for each project; None if there is none."""
    if not is_safe(session_id) or not agent_id:
        return None
    for folder in folders:
        try:
            projects = sorted(os.listdir(folder))
        except OSError:
            continue
        for project in projects:
            path = agent_transcript(os.path.join(folder, project, f"{session_id}{_SUFFIX}"), agent_id)
            if path is not None:
                return path
    return None


def transcripts_below(session_transcript: "str | None") -> "dict[str, str]":
    """Return the transcripts of a session's agents by their ids, wherever they are."""
    folder = _subagents(session_transcript)
    paths = _transcripts(folder) if folder else ()
    return {os.path.basename(path).removeprefix(_PREFIX).removesuffix(_SUFFIX): path for path in paths}


def agents_of(session_transcript: "str | None", since: float) -> "list[str]":
    """Return the ids of a session's agents whose transcripts have been written to since a moment, without internal ones."""
    below = transcripts_below(session_transcript)
    agents = [agent for agent, path in below.items() if (modified(path) or 0.0) >= since]
    return sorted(agent for agent in agents if is_safe(agent) and not is_internal(agent))


def helpers_of(session_transcript: str, since: float) -> "list[str]":
    """Return the transcripts of Claude Code's own helpers in a session that have been written to since a moment."""
    below = transcripts_below(session_transcript)
    return [path for agent, path in below.items() if is_internal(agent) and (modified(path) or 0.0) >= since]


def has_new_agents(session_transcript: "str | None", since: float) -> bool:
    """Tell whether a session may have started an agent since a moment."""
    folder = _subagents(session_transcript)
    return folder is not None and any((modified(inner) or 0.0) >= since for inner in _folders(folder))


def sidecar(
    session_transcript: "str | None",
    agent_id: str,
    path: "str | None" = None,
    elsewhere: "Callable[[], dict[str, str]] | None" = None,
) -> "dict[str, Any]":
    """Return the sidecar of an agent's transcript (`sidecar_beside`), even if there is no transcript yet."""
    path = agent_transcript(session_transcript, agent_id, path, elsewhere)
    if path is not None:
        return sidecar_beside(path)
    folder, agent = _subagents(session_transcript), plain_agent_id(agent_id)
    return sidecar_beside(os.path.join(folder, f"{_PREFIX}{agent}{_SUFFIX}")) if folder and is_safe(agent) else {}


def sidecar_beside(transcript_path: str) -> "dict[str, Any]":
    """Return the fields of a sidecar that it has: `agentType`, `toolUseId`, `name`, `taskKind`, `parentAgentId`, `spawnDepth`.

    All of them are texts, except the last one, a number.
    """
    try:
        path = transcript_path.removesuffix(_SUFFIX) + ".meta.json"
        if not os.path.isfile(path):
            return {}
        with open(path, "rb") as file:
            fields = json.loads(file.read(SIDECAR_BYTES).decode("utf-8", "replace"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(fields, dict):
        return {}
    values = {key: text(fields.get(key)) for key in _SIDECAR_TEXTS} | {"spawnDepth": count(fields.get("spawnDepth"))}
    values["agentType"] = next(filter(None, (text(fields.get(key)) for key in _SPAWNED_TYPES)), values["agentType"])
    return {key: value for key, value in values.items() if value}


def modified(path: str) -> "float | None":
    """Return when a file was last written to, in seconds since 1970; None if there is none."""
    try:
        return os.stat(path).st_mtime
    except (OSError, ValueError):
        return None


def plain_agent_id(agent_id: str) -> str:
    """Return an agent's id without the `agent-` that Claude Code sometimes puts before it."""
    return agent_id.removeprefix(_PREFIX) if isinstance(agent_id, str) else ""


def agent_in_name(path: str) -> "str | None":
    """Return the id of the agent whose transcript a file is by its name, None if it is none's."""
    name = os.path.basename(path)
    return name.removeprefix(_PREFIX).removesuffix(_SUFFIX) if name.startswith(_PREFIX) else None


def is_in_workflow(path: str) -> bool:
    """Tell whether a transcript is that of an agent of a workflow."""
    return f"{os.sep}workflows{os.sep}" in path


def is_internal(agent_id: str) -> bool:
    """Tell whether an id is that of one of Claude Code's own helpers: compaction, suggestions, side questions."""
    return plain_agent_id(agent_id).startswith(INTERNAL)


def is_safe(agent: str) -> bool:
    """Tell whether an id can be part of a file's name, and of nothing else."""
    is_short = 0 < len(agent) <= _LONGEST_ID and agent.isascii()
    return is_short and ".." not in agent and all(sign.isalnum() or sign in _ID_SIGNS for sign in agent)


def _expanded(path: "str | None") -> "str | None":
    return os.path.expanduser(path) if isinstance(path, str) and path else None


def _file(path: "str | None") -> "str | None":
    """Return the path of an ordinary file as it is, None if there is none."""
    full = _expanded(path)
    return full if full is not None and os.path.isfile(full) else None


def _subagents(session_transcript: "str | None") -> "str | None":
    """Return the folder of a session's sub-agents, None if it has none."""
    session = _expanded(session_transcript)
    if session is None or not session.endswith(_SUFFIX):
        return None
    folder = os.path.join(session.removesuffix(_SUFFIX), "subagents")
    return folder if os.path.isdir(folder) else None


def _is_same(path: str, other: "str | None") -> bool:
    return other is not None and os.path.realpath(path) == os.path.realpath(other)


def _folders(folder: str, depth: int = 0) -> "Iterator[str]":
    """Yield a folder and those below it that may hold transcripts."""
    yield folder
    try:
        with os.scandir(folder) as entries:
            inner = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)] if depth < _DEEPEST else []
    except OSError:
        return
    for path in inner:
        yield from _folders(path, depth + 1)


def _transcripts(folder: str, depth: int = 0) -> "Iterator[str]":
    """Yield the agents' transcripts in a folder and those below it, without following links to folders."""
    try:
        with os.scandir(folder) as unsorted:
            entries = sorted(unsorted, key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False) and depth < _DEEPEST:
            yield from _transcripts(entry.path, depth + 1)
        elif entry.name.startswith(_PREFIX) and entry.name.endswith(_SUFFIX) and entry.is_file():
            yield entry.path
