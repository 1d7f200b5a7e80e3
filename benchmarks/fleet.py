"""Homes to measure in: so many agents, so many entries of history, so many events in the journal."""

import os
import time
from itertools import count, cycle
from typing import TYPE_CHECKING

from otel_tracker import MetricTracker, TaskTracker, names
from otel_tracker.runtime.ids import new_id
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.state import event
from otel_tracker.state.codec import DocumentCodec
from otel_tracker.state.shapes import Event
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.journal import SEGMENT_BYTES, Journal
from otel_tracker.storage.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

AGENTS, ENTRIES = 42, 1000
TASK_SECONDS, TOKENS = 12.5, 1500


def agent_of(number: int) -> str:
    """Return one of the fleet's agents, each in its turn."""
    return f"experts/expert_{number % AGENTS:02}.md"


def make_home(folder: str) -> Home:
    """Make a home of 42 agents and 1,000 entries of history, each with its event in the journal, and return it."""
    home, began = Home(folder), time.time() - ENTRIES * TASK_SECONDS
    Store(home).record([ended_task(number, began + number * TASK_SECONDS) for number in range(ENTRIES)])
    return home


def task_recorder(document: str) -> "Callable[[], None]":
    """Return a function that records one task of the next agent in the document at a path."""
    tracker, numbers = MetricTracker(document), count()

    def record_task() -> None:
        number = next(numbers)
        with TaskTracker(agent_of(number), model="sonnet", task_id=f"feature-{number}", tracker=tracker) as task:
            task.set_tokens_used(TOKENS)

    return record_task


def lengthen_journal(home: Home, events: int) -> None:
    """Give a home a journal of so many events, its own over and over, and a document that holds them all."""
    (segment,) = Journal(home.journal, Files()).segments()
    with open(segment, "rb") as file:
        lines = [line.partition(b", ")[2] for line in file]  # without the number, which is the first key
    os.unlink(segment)
    _write_segments(home.journal, lines, events)
    _set_sequence(home.document, events)


def ended_task(number: int, started: float) -> Event:
    """Return the event of a task of one of the agents, each in its turn."""
    return event.task_ended(
        agent_of(number),
        names.SUCCESS,
        started + TASK_SECONDS,
        run_id=new_id(),
        started=format_timestamp(started),
        duration_seconds=TASK_SECONDS,
        model="sonnet",
        task_id=f"feature-{number}",
        tokens={"untyped": TOKENS},
        trace_id=new_id(),
        span_id=new_id()[:16],
    )


def _write_segments(folder: str, lines: list[bytes], events: int) -> None:
    """Write `lines` over and over under new numbers, a segment of 4 MB at a time."""
    lines_a_segment = SEGMENT_BYTES // len(max(lines, key=len))
    endless = cycle(lines)
    for first in range(1, events + 1, lines_a_segment):
        numbers = range(first, min(first + lines_a_segment, events + 1))
        numbered = (b'{"seq": %d, %b' % (n, line) for n, line in zip(numbers, endless, strict=False))
        Files().create(os.path.join(folder, f"{first}.jsonl"), b"".join(numbered))


def _set_sequence(path: str, sequence: int) -> None:
    codec = DocumentCodec()
    with open(path, "rb") as file:
        document = codec.decode(file.read(), path)
    document.head["sequence"] = sequence
    Files().replace(path, codec.encode(document))
