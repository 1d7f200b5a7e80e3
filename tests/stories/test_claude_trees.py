"""Trees of transcripts, written again line by line while hooks are called: they count what `claude-code usage` reads in the end."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from otel_tracker.cli import main
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.storage.store import Store
from tests.integrations.claude_code import trees
from tests.integrations.claude_code.trees import write_tree
from tests.stories.replay import send

pytestmark = pytest.mark.thorough

UNTIL = 1_790_000_000.0
NUMBERS = ("input", "output", "cache_read", "cache_write", "cache_write_1h", "tokens", "cost_usd", "unpriced_tokens")


class Clock:
    """The time that hooks see."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    monkeypatch.setattr(time, "time_ns", lambda: int(clock() * 1e9))
    monkeypatch.setattr(Store.__init__, "__defaults__", (None, clock))
    return clock


class Written(NamedTuple):
    """A line, and when it is written: a copy of an earlier history with the first line of its own of a file."""

    at: float
    path: Path
    line: bytes


def lines_of(root: Path) -> list[Written]:
    """Return the lines of all transcripts of a tree in the order in which they are written."""
    paths = [path for path in root.rglob("*.jsonl") if not path.is_symlink()]
    lines: list[Written] = []
    known: set[str] = set()
    for path in sorted(paths, key=lambda path: (path.name.startswith("agent-"), _last_moment(path))):
        lines += _timed(path, known)
    return sorted(lines, key=lambda written: written.at)


def _last_moment(path: Path) -> float:
    """Return the moment of the last record: a copy goes on behind what it copies."""
    return max((_moment(line) for line in path.read_bytes().splitlines()), default=0.0)


def _timed(path: Path, known: set[str]) -> Iterator[Written]:
    at, copied = 0.0, list[bytes]()
    for line in path.read_bytes().splitlines(keepends=True):
        own, moment = _uuid(line), _moment(line)
        if moment and own not in known:
            at = max(at, moment)
            yield from (Written(at, path, earlier) for earlier in copied)
            copied.clear()
            yield Written(at, path, line)
        elif moment or not at:
            copied.append(line)
        else:
            yield Written(at, path, line)
        known.add(own)
    yield from (Written(at, path, line) for line in copied)


def _record(line: bytes) -> Any:
    try:
        record = json.loads(line.decode("utf-8", "replace"))
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _moment(line: bytes) -> float:
    timestamp = _record(line).get("timestamp")
    return parse_timestamp(timestamp) if timestamp else 0.0


def _uuid(line: bytes) -> str:
    return str(_record(line).get("uuid"))


class Replay:
    """Writes a tree again below `root`, and calls hooks of the home."""

    def __init__(self, root: Path, home: Path, clock: Clock) -> None:
        self.root, self.home, self.clock = root, home, clock
        self.sessions: dict[str, Path] = {}

    def play(self, tree: Path) -> None:
        for sidecar in tree.rglob("*.meta.json"):
            copy = self.root / sidecar.relative_to(tree)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(sidecar.read_bytes())
        for written in lines_of(tree):
            self.clock.now = written.at
            path = self.root / written.path.relative_to(tree)
            if "subagents" in path.parts:
                self._begin_agent(path)
            elif not path.name.startswith("agent-"):
                self._before(path, written.line)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(written.line)
        for session_id in list(self.sessions):
            self.hook("Stop", session_id)
            self.hook("SessionEnd", session_id, reason="other")

    def _before(self, path: Path, line: bytes) -> None:
        """Begin a session with its first line, and end its turn when the user says something."""
        if path.stem not in self.sessions:
            self.sessions[path.stem] = path
            self.clock.now -= 0.001
            self.hook("SessionStart", path.stem, source="startup")
        elif isinstance(_record(line).get("message", {}).get("content"), str):
            self.hook("Stop", path.stem)
            self.hook("UserPromptSubmit", path.stem, prompt="go on")

    def _begin_agent(self, path: Path) -> None:
        session = path.parts[path.parts.index("subagents") - 1]
        sidecar = path.with_suffix(".meta.json")
        if session in self.sessions and sidecar.exists() and not path.exists():
            self.clock.now -= 0.001
            agent_type = json.loads(sidecar.read_bytes())["agentType"]
            self.hook("SubagentStart", session, agent_id=path.stem.removeprefix("agent-"), agent_type=agent_type)

    def hook(self, event: str, session_id: str, **fields: Any) -> None:
        about = {"session_id": session_id, "transcript_path": str(self.sessions[session_id]), "cwd": "/elsewhere"}
        assert send({"hook_event_name": event, **about, **fields}, self.home) == ""


def usage(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    assert main([*map(str, arguments), "--since", "60d", "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def counted(rows: list[Any], keys: list[str]) -> list[dict[str, Any]]:
    """Return what rows count, in the order of their keys."""
    kept = [{key: row[key] for key in (*keys, *NUMBERS)} for row in rows]
    return sorted(kept, key=lambda row: [str(row[key]) for key in keys])


@pytest.mark.parametrize("seed", range(4))
def test_main_conversations_are_counted_as_their_transcripts_are_read(
    tmp_path: Path, seed: int, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = write_tree(tmp_path / "tree", seed, UNTIL, sessions=3)
    home = tmp_path / "home"
    Replay(tmp_path / "claude", home, clock).play(truth.roots[0])
    clock.now = UNTIL
    for by in ("outcome", "session", "model", "project", "session,model"):
        ours = usage(capsys, "--home", home, "usage", "--by", by)
        theirs = usage(capsys, "claude-code", "usage", tmp_path / "claude", "--by", by)
        keys = [key for key in ours["by"] if key != "outcome"]
        assert counted(ours["main_rows"], keys) == counted(theirs["main_rows"], keys)
    total = sum(row["tokens"] for row in ours["main_rows"])
    assert total == sum(n for (_, kind), n in truth.tokens(truth.main()).items() if kind != "cache_write_1h")
    assert_no_error(home)


@pytest.mark.parametrize("seed", range(2))
def test_agents_and_main_conversations_together_are_all_that_was_used(
    tmp_path: Path, seed: int, clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old versions, which wrote agents into the session's file or beside it, have no hooks."""
    old = ("_inline", "_flat", "_cleared")
    monkeypatch.setattr(trees, "_SHAPES", [shape for shape in trees._SHAPES if shape.__name__ not in old])
    write_tree(tmp_path / "tree", seed, UNTIL, sessions=3)
    home = tmp_path / "home"
    Replay(tmp_path / "claude", home, clock).play(tmp_path / "tree")
    clock.now = UNTIL
    for by in ("agent", "project"):
        ours = usage(capsys, "--home", home, "usage", "--by", by)
        theirs = usage(capsys, "claude-code", "usage", tmp_path / "claude", "--by", by)
        assert counted([ours["total"]], []) == counted([theirs["total"]], [])
        used = [[row for row in sums["rows"] if row["tokens"]] for sums in (ours, theirs)]
        assert counted(used[0], [by]) == counted(used[1], [by])
    assert_no_error(home)


def assert_no_error(home: Path) -> None:
    log = home / "claude-code" / "hook.log"
    assert not log.exists() or " error: " not in log.read_text()
