"""What a hook of Claude Code costs as a whole process, against a Python that does nothing."""

import json
import os
import subprocess
import time
from itertools import count
from typing import TYPE_CHECKING, Any

from benchmarks.commands import installed
from benchmarks.fleet import agent_of, make_home
from benchmarks.measure import Row, interleaved, nothing
from otel_tracker import names
from otel_tracker.reporting.summary import agent_name
from otel_tracker.runtime.ids import new_id
from otel_tracker.runtime.timestamps import format_timestamp, parse_timestamp
from otel_tracker.state import event
from otel_tracker.state.codec import DocumentCodec
from otel_tracker.state.document import Document, History
from otel_tracker.state.shapes import Event
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ROUNDS = 40
_MANY_ENTRIES = 100_000
_ANSWERS = 50  # in the transcript of a run


def gate_of_closed_breaker(folder: str) -> Row:
    """Measure the gate before a launch of a healthy agent."""
    home = make_home(os.path.join(folder, "home-of-gate"))
    return _row(folder, "hook: gate, breaker closed", home, _launches(), 2.2)


def gate_of_open_breaker(folder: str) -> Row:
    """Measure the gate before a launch of an agent that it refuses; the refusal is recorded."""
    home = make_home(os.path.join(folder, "home-of-refusal"))
    Store(home).record([_failed_task() for _ in range(5)])
    return _row(folder, "hook: gate, breaker open", home, _launches(), 4)


def gate_of_probe(folder: str) -> Row:
    """Measure the gate before the launch that gets the permit of a half-open breaker."""
    home = make_home(os.path.join(folder, "home-of-probe"))
    store = Store(home)
    store.record([_failed_task(seconds_ago=86_400) for _ in range(5)])

    def return_permit() -> None:
        permit = store.read().agents[agent_of(0)]["circuit"]["permit"]
        if permit is not None:
            returned = event.happened(
                names.PROBE_RETURNED, time.time(), agent=agent_of(0), permit=permit["run_id"], reason="again"
            )
            store.record([returned])

    return _row(folder, "hook: gate, the probe", home, _launches(), 4, return_permit)


def gate_behind_long_history(folder: str) -> Row:
    """Measure the gate with 100,000 entries of history against the gate with 1,000."""
    few, many = make_home(os.path.join(folder, "home-of-few")), make_home(os.path.join(folder, "home-of-many"))
    _lengthen_history(many, _MANY_ENTRIES)
    ours, usual = (_hook(folder, home, _launches()) for home in (many, few))
    with_many, with_few = interleaved(ours, usual, _ROUNDS)
    return Row("hook: gate, 100,000 entries to 1,000", with_many, with_few, 1.2)


def recorder_of_run(folder: str) -> Row:
    """Measure the recorder at the end of a run: its transcript is read, its end is on the disk and in the document."""
    home = make_home(os.path.join(folder, "home-of-recorder"))
    return _row(folder, "hook: recorder, end of a run", home, _ends(os.path.join(folder, "sessions")), 5)


def _row(
    folder: str,
    name: str,
    home: Home,
    payloads: "Iterator[dict[str, Any]]",
    bound: float,
    before: "Callable[[], None]" = nothing,
) -> Row:
    python = [os.path.join(installed(os.path.join(folder, "venv")), "python"), "-c", "pass"]
    bare = _process(python, lambda: b"")
    ours, floor = interleaved(_hook(folder, home, payloads), bare, _ROUNDS, before_ours=before)
    return Row(name, ours, floor, bound)


def _hook(folder: str, home: Home, payloads: "Iterator[dict[str, Any]]") -> "Callable[[], None]":
    program = os.path.join(installed(os.path.join(folder, "venv")), "otel-tracker")
    command = [program, "claude-code", "hook", "--home", home.folder]
    return _process(command, lambda: json.dumps(next(payloads)).encode())


def _process(command: list[str], data: "Callable[[], bytes]") -> "Callable[[], None]":
    def run() -> None:
        subprocess.run(command, input=data(), check=True, stdout=subprocess.DEVNULL)

    return run


def _launches() -> "Iterator[dict[str, Any]]":
    """Yield payloads of PreToolUse, each of a launch of its own, with a prompt as long as they are."""
    wanted = {"subagent_type": agent_name(agent_of(0), {}), "description": "find it", "prompt": "look " * 500}
    for number in count():
        about = {"tool_name": "Agent", "tool_input": wanted, "tool_use_id": f"toolu_{number}"}
        yield {"hook_event_name": "PreToolUse", "session_id": "session", "cwd": "/project", **about}


def _ends(folder: str) -> "Iterator[dict[str, Any]]":
    """Yield payloads of PostToolUse, each of a run of its own in a session of its own."""
    for number in count():
        session = os.path.join(folder, f"session-{number}")
        os.makedirs(os.path.join(session, "subagents"))
        with open(os.path.join(session, "subagents", f"agent-a{number}.jsonl"), "w", encoding="utf-8") as file:
            file.writelines(json.dumps(answer_of(n)) + "\n" for n in range(_ANSWERS))
        result = {"status": "completed", "agentId": f"a{number}", "totalDurationMs": 60_000, "content": []}
        wanted = {"subagent_type": agent_name(agent_of(0), {}), "prompt": "look " * 500}
        about = {"tool_name": "Agent", "tool_input": wanted, "tool_use_id": f"toolu_{number}", "tool_response": result}
        place = {"session_id": f"session-{number}", "transcript_path": f"{session}.jsonl", "cwd": "/project"}
        yield {"hook_event_name": "PostToolUse", **place, **about}


def answer_of(number: int) -> dict[str, Any]:
    """Return a record of an answer in a transcript."""
    usage = {"input_tokens": 4, "output_tokens": 900, "cache_read_input_tokens": 15_000}
    content = [{"type": "text", "text": "an answer " * 50}]
    message = {
        "id": f"msg_{number}",
        "role": "assistant",
        "model": "claude-sonnet-5",
        "content": content,
        "usage": usage,
    }
    moment = f"2026-08-10T12:{number % 60:02}:00.000Z"
    return {
        "type": "assistant",
        "timestamp": moment,
        "requestId": f"req_{number}",
        "message": {**message, "stop_reason": "end_turn"},
    }


def _failed_task(seconds_ago: float = 0.0) -> Event:
    failed = event.happened(names.TASK_FAILED, time.time(), agent=agent_of(0))
    ended = parse_timestamp(failed["timestamp"]) - seconds_ago
    return event.task_ended(
        agent_of(0),
        names.FAILURE,
        ended,
        run_id=new_id(),
        started=format_timestamp(ended),
        duration_seconds=0.0,
    )


def _lengthen_history(home: Home, entries: int) -> None:
    """Give a home's document so many entries of history, its own over and over."""
    codec, files = DocumentCodec(), Files()
    read = files.read(home.document)
    assert read is not None
    document = codec.decode(read[1], home.document)
    own = document.history.entries()
    long = History.of([own[number % len(own)] for number in range(entries)])
    files.replace(home.document, codec.encode(Document(document.head, long)))
