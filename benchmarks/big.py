"""What stays as it is in a big home, of 1,000 agents and 1,000,000 events, and with a transcript of 1 GB."""

import json
import os
import shutil
import subprocess
import time
from functools import partial
from itertools import chain, count, islice
from typing import TYPE_CHECKING, Any

from benchmarks.commands import installed
from benchmarks.fleet import agent_of, make_home
from benchmarks.hooks import answer_of
from benchmarks.measure import Row, interleaved
from otel_tracker import names
from otel_tracker.reporting.summary import agent_name
from otel_tracker.runtime.ids import new_id
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.state import event
from otel_tracker.state.codec import DocumentCodec
from otel_tracker.state.document import Document, History, new_document
from otel_tracker.state.fold import fold_all
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.journal import SEGMENT_BYTES, Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AGENTS, EVENTS = 1_000, 1_000_000
_ENTRIES = 1_000
_DAYS, _SECONDS, _TOKENS = 20, 1.0, 10
_ROUNDS, _LONG_ROUNDS = 40, 3
_TRANSCRIPT_BYTES, _RESULT = 10**9, "y " * 10_000
_HOOK_SECONDS = 5.0  # that Claude Code gives a hook at a prompt; the others have 10

_PARSE_ALL = """
import json, os, sys
for name in os.listdir(sys.argv[1]):
    with open(os.path.join(sys.argv[1], name), "rb") as file:
        for line in file:
            json.loads(line)
"""


def health_of_big_home(folder: str) -> Row:
    """Measure `otel-tracker health AGENT` in a big home against a usual one."""
    ours, theirs = (
        _command(folder, "health", "--home", home.folder, agent)
        for home, agent in _big_and_usual(folder, "home-beside-big-for-health")
    )
    return Row("otel-tracker health, big home to usual", *interleaved(ours, theirs, _ROUNDS), 1.5)


def gate_of_big_home(folder: str) -> Row:
    """Measure the gate before a launch of a healthy agent in a big home against a usual one."""
    ours, theirs = (
        _hook(folder, home, partial(_launch, agent))
        for home, agent in _big_and_usual(folder, "home-beside-big-for-hook")
    )
    return Row("hook: gate, big home to usual", *interleaved(ours, theirs, _ROUNDS), 1.5)


def doctor_of_big_home(folder: str) -> Row:
    """Measure `otel-tracker doctor` in a big home against Python that parses every line of its journal."""
    home = _big_home(folder)
    ours = _command(folder, "doctor", "--home", home.folder)
    return Row("otel-tracker doctor, 1,000,000 events", *_few_rounds(ours, _parser(folder, home)), 5)


def history_of_big_home(folder: str) -> Row:
    """Measure `otel-tracker history --since` of a whole journal against Python that parses every line of it."""
    home = _big_home(folder)
    ours = _command(folder, "history", "--home", home.folder, "--since", f"{_DAYS + 1}d")
    return Row("otel-tracker history, 1,000,000 events", *_few_rounds(ours, _parser(folder, home)), 6)


def task_without_document(folder: str) -> Row:
    """Measure the first task of a process in a big home that has lost its document and its backups against a whole one."""
    lost, whole = (_copy(_big_home(folder), os.path.join(folder, name)) for name in ("lost", "whole"))
    os.unlink(lost.document)
    shutil.rmtree(lost.backups)
    ours, theirs = (_command(folder, "exec", "--home", home.folder, _agent(0), "--", "true") for home in (lost, whole))
    return Row("otel-tracker exec, document lost to there", *interleaved(ours, theirs, _ROUNDS), 3)


def recorder_of_long_run(folder: str) -> Row:
    """Measure the recorder at the end of a run with a transcript of 1 GB against the time that a hook has."""
    home = make_home(os.path.join(folder, "home-of-long-run"))
    ends = _long_ends(os.path.join(folder, "long-sessions"))
    ours, _ = interleaved(_hook(folder, home, lambda: next(ends)), lambda: None, _LONG_ROUNDS, warm_up=0)
    return Row("hook: recorder, transcript of 1 GB", ours, _HOOK_SECONDS, 1)


def _big_and_usual(folder: str, usual: str) -> "list[tuple[Home, str]]":
    """Return a big home and a usual one, each with one of its agents."""
    return [(_big_home(folder), _agent(0)), (make_home(os.path.join(folder, usual)), agent_of(0))]


def _launch(agent: str) -> "dict[str, Any]":
    wanted = {"subagent_type": agent_name(agent, {}), "prompt": "look " * 500}
    launch = {"tool_name": "Agent", "tool_input": wanted, "tool_use_id": "toolu_1", "cwd": "/project"}
    return {"hook_event_name": "PreToolUse", "session_id": "session", **launch}


def _agent(number: int) -> str:
    return f"big/agent_{number % AGENTS:04}.md"


def _few_rounds(ours: "Callable[[], None]", baseline: "Callable[[], None]") -> "tuple[float, float]":
    return interleaved(ours, baseline, _LONG_ROUNDS, warm_up=0)


def _big_home(folder: str) -> Home:
    """Return a home whose document is what its journal gives, and whose oldest backup is from its first minutes."""
    home = Home(os.path.join(folder, "big"))
    if not os.path.isdir(home.folder):
        os.makedirs(home.journal)
        began = time.time() - _DAYS * 86_400
        pace = (_DAYS - 1) * 86_400 / (EVENTS // 2)
        lines = (line for number in range(EVENTS // 2) for line in _task(number, began + number * pace))
        _write_segments(home.journal, lines)
        _write_documents(home)
    return home


def _task(number: int, began: float) -> "Iterator[bytes]":
    """Yield the lines, without their numbers, of a task's start and end."""
    run_id, agent = new_id(), _agent(number)
    fields = {"run_id": run_id, "model": "sonnet", "task_id": f"feature-{number}"}
    started = event.task_started(agent, began, owner=None, **fields)
    ended = event.task_ended(
        agent,
        names.SUCCESS,
        began + _SECONDS,
        started=format_timestamp(began),
        duration_seconds=_SECONDS,
        tokens={"untyped": _TOKENS},
        **fields,
    )
    for one in (started, ended):
        yield json.dumps(one).encode()[1:]


def _write_segments(folder: str, lines: "Iterator[bytes]") -> None:
    segment: list[bytes] = []
    size, first = 0, 1
    for number, line in enumerate(lines, 1):
        segment.append(b'{"seq": %d, %b\n' % (number, line))
        size += len(segment[-1])
        if size >= SEGMENT_BYTES:
            Files().create(os.path.join(folder, f"{first}.jsonl"), b"".join(segment))
            segment, size, first = [], 0, number + 1
    Files().create(os.path.join(folder, f"{first}.jsonl"), b"".join(segment))


def _write_documents(home: Home) -> None:
    """Write the document, a backup of it, and one of when each agent had had one task."""
    journal = Journal(home.journal, Files())
    events = islice(chain.from_iterable(journal.segments_after(0)), 2 * AGENTS)
    document = fold_all(new_document(), list(events))
    _write(os.path.join(home.backups, "circuit-breaker_20260101_000000.json"), document)
    rounds = EVENTS // 2 // AGENTS
    for agent in document.agents.values():
        agent["metrics"].update(tasks_total=rounds, tasks_successful=rounds, total_duration_seconds=rounds * _SECONDS)
        agent["token_usage"]["sonnet"].update(total=rounds * _TOKENS, untyped=rounds * _TOKENS, count=rounds)
    document.head["metrics"].update(total_requests=rounds * AGENTS, successful=rounds * AGENTS)
    newest = [one for one in next(journal.before(EVENTS + 1))[1] if one["action"] != names.TASK_STARTED]
    whole = Document({**document.head, "sequence": EVENTS}, History.of(newest[-_ENTRIES:]))
    for path in (os.path.join(home.backups, "circuit-breaker_20260102_000000.json"), home.document):
        _write(path, whole)


def _write(path: str, document: Document) -> None:
    Files().make_folder(os.path.dirname(path))
    Files().create(path, b"".join(DocumentCodec().encode(document)))


def _copy(home: Home, folder: str) -> Home:
    """Return a home with the same files; only its newest segment, its document and its backups are copies."""
    shutil.copytree(home.folder, folder, ignore=lambda path, found: found if path == home.journal else [])
    copied, segments = Home(folder), Journal(home.journal, Files()).segments()
    for segment in segments:
        put = shutil.copyfile if segment == segments[-1] else os.link
        put(segment, os.path.join(copied.journal, os.path.basename(segment)))
    return copied


def _long_ends(folder: str) -> "Iterator[dict[str, Any]]":
    """Yield payloads of PostToolUse, each of a run of its own whose transcript of 1 GB no hook has read yet."""
    for number in count():
        session = os.path.join(folder, f"session-{number}")
        os.makedirs(os.path.join(session, "subagents"))
        path = os.path.join(session, "subagents", f"agent-a{number}.jsonl")
        first = os.path.join(folder, "session-0", "subagents", "agent-a0.jsonl")
        os.link(first, path) if number else _write_transcript(path)
        result = {"status": "completed", "agentId": f"a{number}", "totalDurationMs": 60_000, "content": []}
        about = {"tool_name": "Agent", "tool_input": {"subagent_type": "coder"}, "tool_use_id": f"toolu_{number}"}
        place = {"session_id": f"session-{number}", "transcript_path": f"{session}.jsonl", "cwd": "/project"}
        yield {"hook_event_name": "PostToolUse", **place, **about, "tool_response": result}


def _write_transcript(path: str) -> None:
    with open(path, "wb") as file:
        for number in count():
            answer = {"type": "assistant", **answer_of(number)}
            block = {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": _RESULT}
            file.write(json.dumps(answer).encode() + b"\n")
            if file.tell() >= _TRANSCRIPT_BYTES:
                return
            heard = {"type": "user", "timestamp": answer["timestamp"], "message": {"role": "user", "content": [block]}}
            file.write(json.dumps(heard).encode() + b"\n")


def _command(folder: str, *arguments: str) -> "Callable[[], None]":
    return _process([os.path.join(installed(os.path.join(folder, "venv")), "otel-tracker"), *arguments], lambda: b"")


def _hook(folder: str, home: Home, payload: "Callable[[], dict[str, Any]]") -> "Callable[[], None]":
    program = os.path.join(installed(os.path.join(folder, "venv")), "otel-tracker")
    return _process([program, "claude-code", "hook", "--home", home.folder], lambda: json.dumps(payload()).encode())


def _parser(folder: str, home: Home) -> "Callable[[], None]":
    python = os.path.join(installed(os.path.join(folder, "venv")), "python")
    return _process([python, "-c", _PARSE_ALL, home.journal], lambda: b"")


def _process(command: list[str], data: "Callable[[], bytes]") -> "Callable[[], None]":
    def run() -> None:
        subprocess.run(command, input=data(), check=True, stdout=subprocess.DEVNULL)

    return run
