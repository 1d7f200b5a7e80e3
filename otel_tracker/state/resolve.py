"""Which run of a task an event is about, and what it adds to the earlier events of that run. Pure."""

from otel_tracker import names
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.state.token_use import model_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otel_tracker.state.shapes import Event


def is_without_run(event: "Event") -> bool:
    """Tell whether an event is the end of a task that names no run."""
    return event["action"] in names.OUTCOMES and not event.get("run_id")


def running_task(in_flight: "Mapping[str, Event]", event: "Event", *, is_exact: bool) -> "Event | None":
    """Return the running task, with its `run_id`, that an end without a run belongs to; of several, the oldest.

    The two have the same agent, and the same task id if the end has one, else the same start; with `is_exact` they must
    have the same start.
    """
    of_agent = [{**task, "run_id": run} for run, task in in_flight.items() if task["agent"] == event["agent"]]
    by_start = [task for task in of_agent if task["started"] == event.get("started")]
    by_task = [task for task in of_agent if event.get("task_id") and task.get("task_id") == event["task_id"]]
    exact = [task for task in by_start if _may_be_same_task(task, event)]
    matches = exact or ([] if is_exact else by_task or by_start)
    return min(matches, key=lambda task: parse_timestamp(task["started"]), default=None)


def ended_run(event: "Event", earlier: "Iterable[Event]") -> "Event | None":
    """Return the newest event of the run that an end without a run repeats; of several, the oldest run.

    `earlier` are events in their order. The two ends have the same start and, if both have a task id, the same one.
    """
    runs = {one["run_id"]: one for one in earlier if _is_end_like(one, event)}
    same = (
        run for run in runs.values() if run.get("started") == event.get("started") and _may_be_same_task(run, event)
    )
    return next((run for run in same if run["action"] != names.TASK_LOST), None)


def lost_run(event: "Event", earlier: "Iterable[Event]") -> "Event | None":
    """Return the loss that an end without a run turns out to end after all; None if there is none.

    The run is matched as a running task is.
    """
    runs = {one["run_id"]: one for one in earlier if _is_end_like(one, event)}
    lost = [run for run in runs.values() if run["action"] == names.TASK_LOST]
    by_task = [run for run in lost if event.get("task_id") and run.get("task_id") == event["task_id"]]
    by_start = [run for run in lost if event.get("started") and run.get("started") == event["started"]]
    return next(iter(by_task or by_start), None)


def with_run(event: "Event", match: "Event | None") -> "Event":
    """Return the end of a task with the run of `match`, else with a run of its own."""
    if match is None:
        return {**event, "run_id": event["id"]}
    task_id = event.get("task_id") or match.get("task_id")
    return {**event, "model": model_of(event, match), "task_id": task_id, "run_id": match["run_id"]}


def as_news(event: "Event", earlier: "Event | None") -> "Event | None":
    """Return what an event adds to the newest event of the same run, None if that is nothing.

    Events that are about no run, and amendments, are compared with the event that has the same `id`. The end of a task
    that was taken for lost adds the difference between the two ends; so does a loss that brings the usage which the first
    one, of a process that only saw the owner gone, doesn't know.
    """
    if earlier is None:
        return event
    if event["action"] not in names.OUTCOMES:
        return None
    if earlier["action"] == names.TASK_STARTED:
        return event
    was_lost = earlier["action"] == names.TASK_LOST and earlier.get("agent") == event["agent"]
    knows_more = event["action"] != names.TASK_LOST or (event.get("tokens") and not earlier.get("tokens"))
    return _amendment(earlier, event) if was_lost and knows_more else None


def _is_end_like(one: "Event", event: "Event") -> bool:
    is_about_end = one.get("action") in names.OUTCOMES or one.get("action") == names.TASK_AMENDED
    return is_about_end and one.get("agent") == event["agent"] and bool(one.get("run_id"))


def _may_be_same_task(one: "Event", other: "Event") -> bool:
    """Tell whether two events of one start name the same task, or one of them none."""
    ids = one.get("task_id"), other.get("task_id")
    return None in ids or ids[0] == ids[1]


def _amendment(lost: "Event", event: "Event") -> "Event | None":
    from otel_tracker.state.amendment import amendment_of  # a process that asks for an agent's health doesn't load it

    return amendment_of(lost, {**event, "model": model_of(event, lost)})
