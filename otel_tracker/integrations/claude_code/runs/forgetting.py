"""Deletes the files of sessions that ended long ago, and the temporary files of killed hooks.

A home is the folder of a user's agents, and the user may keep other files in its `claude-code`: a file is deleted only if
its name and its content prove that this package wrote it.
"""

import os
import re

from otel_tracker.errors import StorageError
from otel_tracker.integrations.claude_code.runs import ledger, lineage
from otel_tracker.integrations.claude_code.runs.run import ids_of
from otel_tracker.integrations.claude_code.runs.session_files import BEGINNING_OF_FACTS, facts_in, paths_in
from otel_tracker.storage.files import Files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from otel_tracker.storage.home import Home

_FORGOTTEN_SECONDS = 30 * 86_400.0  # Claude Code keeps transcripts for as long
_ABANDONED_SECONDS = 86_400.0  # no hook runs for longer
_SESSION = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}"  # as Claude Code names sessions, or a digest
_LOCK = re.compile(rf"(?:{_SESSION})\.json\.lock")
_TEMPORARY = re.compile(rf"(?:{_SESSION})\.json\.\d+\.[0-9a-f]{{8}}\.tmp")


def forget_sessions(home: "Home", now: float) -> None:
    """Delete the files of sessions that had no event for 30 days and whose transcript is gone; `now` is in seconds since 1970.

    What runs they recorded stays in the ledger: a copy of a transcript may come back. Also delete locks without a session, and temporary files of hooks that were killed a day ago. Raises StorageError.
    """
    files, before = Files(), now - _FORGOTTEN_SECONDS
    for path in paths_in(home, ".json", before, files):
        facts = facts_in(home, path, files)
        if facts is not None and not _has_transcript(facts):
            runs = facts.get("runs", [])
            ledger.remember_runs(home, files, [one for run in runs for one in ids_of(run) if run.get("run_id")])
            for run in runs:
                lineage.release(home, run.get("agent_id"), facts["session_id"], files)
            files.remove(path)
            _remove_lock(f"{path}.lock", files)
    for path in paths_in(home, ".json.lock", before, files):
        if _LOCK.fullmatch(os.path.basename(path)) and not os.path.exists(path.removesuffix(".lock")):
            _remove_lock(path, files)
    for path in paths_in(home, ".tmp", now - _ABANDONED_SECONDS, files):
        if _TEMPORARY.fullmatch(os.path.basename(path)) and _is_part_of_facts(path, files):
            files.remove(path)


def _remove_lock(path: str, files: Files) -> None:
    signature = files.signature(path)
    if signature is not None and signature[1] == 0:  # a lock is always empty
        files.remove(path)


def _is_part_of_facts(path: str, files: Files) -> bool:
    """Tell whether a file begins as a session's file does, as far as a killed hook had written it."""
    try:
        read = files.read(path, 0, len(BEGINNING_OF_FACTS))
    except StorageError:
        return False
    return read is not None and BEGINNING_OF_FACTS.startswith(read[1].rstrip(b"\0"))


def _has_transcript(facts: "dict[str, Any]") -> bool:
    transcript = facts.get("transcript")
    return isinstance(transcript, str) and os.path.exists(os.path.expanduser(transcript))
