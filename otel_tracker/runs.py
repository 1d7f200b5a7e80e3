"""Which run of a task an event is about, and whether a document knows it already. Pure."""

from otel_tracker import names
from otel_tracker.document import Document, encode_line
from otel_tracker.entry import model_of
from otel_tracker.timestamps import parse_timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Event = dict[str, Any]


def resolve(document: Document, event: "Event") -> "Event":
    """Return the end of a task with the run that it ends filled in; other events as they are.

    A run is found by agent and task id if the event has one, else by agent and start; of several, the oldest. It may
    be one that was taken for lost. An end without a known start is a run of its own.
    """
    if event.get("run_id") or event["action"] not in names.OUTCOMES:
        return event
    found = _running(document, event) or _lost(document, event)
    if found is None:
        return {**event, "run_id": event["id"]}
    known = {"model": model_of(event, found), "task_id": event.get("task_id") or found.get("task_id")}
    return {**event, **known, "run_id": found["run_id"]}


def as_news(document: Document, event: "Event") -> "Event | None":
    """Return what an event adds to a document, None if it repeats another one.

    Starts and ends of tasks are told by `run_id`, other events by `id`. The end of a task that was taken for lost adds
    the difference between the two.
    """
    known = _known(document, event)
    if known is None:
        return event
    is_an_end = event["action"] in names.OUTCOMES and event["action"] != names.TASK_LOST
    was_lost = known.get("action") == names.TASK_LOST and known.get("agent") == event["agent"]
    return _amendment(known, event) if is_an_end and was_lost else None


def _running(document: Document, event: "Event") -> "Event | None":
    tasks = document.head["in_flight"]
    of_agent = [{**task, "run_id": run} for run, task in tasks.items() if task["agent"] == event["agent"]]
    by_task = [task for task in of_agent if event.get("task_id") and task.get("task_id") == event["task_id"]]
    by_start = [task for task in of_agent if task["started"] == event.get("started")]
    return min(by_task or by_start, key=lambda task: parse_timestamp(task["started"]), default=None)


def _lost(document: Document, event: "Event") -> "Event | None":
    of_agent = [
        entry
        for entry in document.history.entries()
        if entry.get("action") == names.TASK_LOST and entry.get("agent") == event["agent"] and entry.get("run_id")
    ]
    by_task = [entry for entry in of_agent if event.get("task_id") and entry.get("task_id") == event["task_id"]]
    by_start = [entry for entry in of_agent if event.get("started") and entry.get("started") == event["started"]]
    return next(iter(by_task or by_start), None)


def _known(document: Document, event: "Event") -> "Event | None":
    """Return what a document holds of the same run, or of the same event."""
    if event["action"] == names.TASK_STARTED:
        if event["run_id"] in document.head["in_flight"]:
            return event
        # Who has an owner writes in order: its start can't come after its end.
        return None if event.get("owner") else _newest(document, "run_id", event["run_id"])
    if event["action"] in names.OUTCOMES:
        is_running = event["run_id"] in document.head["in_flight"]
        return None if is_running else _newest(document, "run_id", event["run_id"])
    return _newest(document, "id", event["id"])


def _newest(document: Document, key: str, value: str) -> "Event | None":
    return document.history.newest_with(encode_line({key: value})[1:-1])


def _amendment(lost: "Event", event: "Event") -> "Event | None":
    from otel_tracker.amendment import amendment_of  # here: who asks for an agent's health doesn't load it

    return amendment_of(lost, {**event, "model": model_of(event, lost)})
