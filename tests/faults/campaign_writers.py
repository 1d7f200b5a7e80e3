# ruff: noqa: T201 - it tells the campaign what it does on standard output
"""Each way to record a task, as a process that goes on until it is killed: `python -m tests.faults.campaign_writers HOME`.

Each line on standard input is a seat: the name of a way, the agent to record, and the path of a ledger. A new process
records tasks of that agent by that way, each under a name of its own, and writes into the ledger which task it attempts and which is
acknowledged. The pid of the process comes back on standard output. Each way tells some of its tasks twice.
"""

import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain, count
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, TraceFlags

from otel_tracker import CircuitBreakerSpanExporter, MetricTracker, TaskTracker
from otel_tracker.cli import main as command
from otel_tracker.doctor import examine_home
from otel_tracker.integrations.claude_code.hooks.hook import hook
from otel_tracker.storage import journal
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store

ATTEMPTED, ACKNOWLEDGED = "attempted", "acknowledged"
SEGMENT_BYTES = 200_000
_SPANS = 64  # in a batch
_MILLION = 1_000_000

Say = Callable[[str, str], None]


def blocks(home: Home, agent: str, names: Iterator[int], say: Say) -> None:
    """Record `with` blocks."""
    tracker = MetricTracker(home.document)
    for name in map(str, names):
        say(ATTEMPTED, name)
        with TaskTracker(agent, task_id=name, tracker=tracker):
            pass
        say(ACKNOWLEDGED, name)


def calls(home: Home, agent: str, names: Iterator[int], say: Say) -> None:
    """Record starts and ends by two calls, and each other end a second time."""
    tracker = MetricTracker(home.document)
    for name in map(str, names):
        say(ATTEMPTED, name)
        start = tracker.record_task_start(agent, task_id=name)
        tracker.record_task_complete(agent, start, 7, task_id=name)
        say(ACKNOWLEDGED, name)
        if int(name) % 2:
            tracker.record_task_complete(agent, start, 7, task_id=name)


def batches(home: Home, agent: str, names: Iterator[int], say: Say) -> None:
    """Export batches of spans that another library has made, and each batch a second time."""
    exporter = CircuitBreakerSpanExporter(home.document)
    while True:
        batch = [str(next(names)) for _ in range(_SPANS)]
        spans = [_span(agent, int(name)) for name in batch]
        for name in batch:
            say(ATTEMPTED, name)
        exporter.export(spans)
        for name in batch:
            say(ACKNOWLEDGED, name)
        exporter.export(spans)


def _span(agent: str, number: int) -> ReadableSpan:
    now = time.time_ns()
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": agent,
        "gen_ai.usage.input_tokens": 7,
    }
    context = SpanContext(number, number, is_remote=False, trace_flags=TraceFlags(1))
    return ReadableSpan(f"invoke_agent {agent}", context, attributes=attributes, start_time=now, end_time=now)


def hooks(home: Home, agent: str, names: Iterator[int], say: Say) -> None:
    """Send the payloads of Claude Code's hooks about a run of a sub-agent, and the end a second time.

    The first task of a process is the last one of the killed process before it.
    """
    for number in names:
        session = f"5f0c7a9e-0000-4000-8000-{number:012x}"
        name = str(number)
        call = {
            "tool_name": "Agent",
            "tool_use_id": f"toolu_{number}",
            "tool_input": {"description": "d", "prompt": "p", "subagent_type": agent},
        }
        answer = {"status": "completed", "agentId": name, "agentType": agent, "content": [], "totalToolUseCount": 3}
        end = partial(_fire, home, session, "PostToolUse", **call, tool_response=answer, duration_ms=60_000)
        say(ATTEMPTED, name)
        _fire(home, session, "SubagentStart", agent_id=name, agent_type=agent)
        end()
        say(ACKNOWLEDGED, name)
        end()
        _fire(home, session, "Stop", stop_hook_active=False, background_tasks=[])


def _fire(home: Home, session: str, event: str, **fields: object) -> None:
    payload = {"session_id": session, "hook_event_name": event, "cwd": "/project", "transcript_path": "", **fields}
    hook(json.dumps(payload).encode(), home.folder)


def commands(home: Home, agent: str, names: Iterator[int], say: Say) -> None:
    """Run `true` as a task."""
    for name in map(str, names):
        say(ATTEMPTED, name)
        command(["exec", "--home", home.folder, "--task-id", name, agent, "--", "true"])
        say(ACKNOWLEDGED, name)


def people(home: Home, agent: str, names: Iterator[int], say: Say) -> None:
    """Reset breakers, make backups, look at the state; no task."""
    store, tracker = Store(home), MetricTracker(home.document)
    tracker.register_agent(agent, agent)
    for number in names:
        store.back_up()
        tracker.reset_agent_failures(agent)
        tracker.check_agent_health(agent)
        if number % 5 == 0:
            examine_home(Store(home))


WAYS = {way.__name__: way for way in (blocks, calls, batches, hooks, commands, people)}


def main() -> None:
    home = Home(sys.argv[1])
    journal.SEGMENT_BYTES = SEGMENT_BYTES
    examine_home(Store(home))  # loads what is loaded when it is first needed
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the killed
    for line in sys.stdin:
        way, agent, ledger = line.split()
        child = os.fork()
        if not child:
            _write(home, way, agent, ledger)
        print(child, flush=True)
    with suppress(ChildProcessError):
        os.wait()  # until all have ended


def _write(home: Home, way: str, agent: str, ledger: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # `exec` waits for its command
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    last = [int(line.split()[1]) for line in open(ledger, encoding="ascii")][-1:] if way == "hooks" else []  # noqa: SIM115
    descriptor = os.open(ledger, os.O_WRONLY | os.O_APPEND)
    first = random.Random(time.time_ns()).randrange(1, 2**40) * _MILLION  # noqa: S311 - nothing is a secret here

    def say(word: str, name: str) -> None:
        # Lines of 64 bytes never lie across two pages: between those, a kill tears a write apart.
        os.write(descriptor, f"{word} {name}".ljust(63).encode() + b"\n")

    try:
        WAYS[way](home, agent, chain(last, count(first)), say)
    except BaseException:  # noqa: BLE001 - a writer ends by a signal only
        print(f"{way}: {traceback.format_exc()}", file=sys.stderr, flush=True)
    os._exit(1)  # never the loop of the process that has forked this one


if __name__ == "__main__":
    main()
