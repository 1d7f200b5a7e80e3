"""The event of a run's end, from all the facts about it: hooks and the import of the past make it in the same way. Pure."""

from otel_tracker import names
from otel_tracker.integrations.claude_code.runs import outcome
from otel_tracker.integrations.claude_code.runs.run import digest
from otel_tracker.integrations.claude_code.transcripts.ending import IN_BETWEEN
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.state import event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from otel_tracker.integrations.claude_code.runs.outcome import Verdict
    from otel_tracker.integrations.claude_code.runs.run import Run
    from otel_tracker.integrations.claude_code.transcripts.transcript import Transcript
    from otel_tracker.state.shapes import Event


def end_of(
    run: "Run",
    verdict: "Verdict",
    transcript: "Transcript | None",
    *,
    session_id: str,
    outages_of_session: "list[list[Any]]",
    launcher_run_id: "str | None",
    project: "str | None",
    now: float,
) -> "Event":
    """Return the event of the end of a run that has its agent and run_id; `transcript` is None if there is none.

    `launcher_run_id` is the task that the run's launcher is recorded as, None for the main agent. `now`, in seconds since
    1970, is the latest moment that the end can have.
    """
    began, ended, seconds = _times(run, verdict, transcript, now)
    models = transcript.models if transcript is not None and transcript.models else None
    is_suspect = verdict.outcome == names.SUCCESS and outcome.is_suspect(run, transcript, seconds)
    return event.task_ended(
        str(run.agent),
        verdict.outcome,
        ended,
        run_id=run.run_id,
        started=format_timestamp(began),
        duration_seconds=None if verdict.outcome == names.LOST else seconds,
        model=_model(run, models),
        task_id=run.agent_id or run.tool_use_id,
        tokens=_sum(models),
        models=models,
        error=verdict.error,
        error_type=verdict.error_type,
        environment_error=verdict.environment_error or outcome.blamed_on(verdict, ended, outages_of_session),
        reason=verdict.reason,
        suspect=is_suspect or None,
        usage_incomplete=(transcript is not None and (transcript.is_incomplete or transcript.is_partial)) or None,
        skipped_lines=(transcript.skipped or None) if transcript is not None else None,
        claude_code_version=transcript.version if transcript is not None else None,
        project=project,
        unexported=True,
        **origin_of(run, session_id),
        **_span(run, session_id, launcher_run_id),
    )


def origin_of(run: "Run", session_id: str) -> "Event":
    """Return the ids that Claude Code has given to a run, whose moments are read in its transcript, however late."""
    ids = {"conversation_id": session_id, "agent_id": run.agent_id, "tool_use_id": run.tool_use_id}
    return {"told_later": True, **{key: value for key, value in ids.items() if value is not None}}


def named_model(model: "str | None") -> "str | None":
    """Return the family of a model that a launch names; None for None."""
    return None if model is None else names.model_family(model.partition("[")[0])


def _times(
    run: "Run", verdict: "Verdict", transcript: "Transcript | None", now: float
) -> "tuple[float, float, float | None]":
    """Return when a run began and ended, and how many seconds it worked; the last is None if nothing tells.

    The end of a run that failed in the middle of something is the moment of that report: it may have stalled long before.
    """
    first, last = (transcript.started, transcript.ended) if transcript is not None else (None, None)
    is_late = verdict.outcome == names.FAILURE and transcript is not None and transcript.ending in IN_BETWEEN
    last = max(last or 0.0, run.reported) if is_late and run.reported else last
    ended = min(last or run.reported or now, now)
    began = min(first or run.began or ended - (run.took or 0.0), ended)
    if transcript is None or first is None:
        is_timed = run.took is not None or run.began is not None
        return began, ended, (ended - began if run.took is None else run.took) if is_timed else None
    return began, ended, max(0.0, ended - began - transcript.idle_seconds)


def _span(run: "Run", session_id: str, launcher_run_id: "str | None") -> "Event":
    """Return the ids of the run's span: all runs of a session are in one trace, below the run that launched them."""
    ids = {"trace_id": digest(session_id), "span_id": _span_id(str(run.run_id))}
    if launcher_run_id is None:
        return ids
    return {**ids, "parent_span_id": _span_id(launcher_run_id), "parent_run_id": launcher_run_id}


def _model(run: "Run", models: "dict[str, Any] | None") -> "str | None":
    """Return the model of a run as reports show it: the family of those that did the work, None if there are several."""
    families = {names.model_family(model) for model in models or {}}
    if models:
        return families.pop() if len(families) == 1 else None
    return named_model(run.model)


def _sum(models: "dict[str, dict[str, int]] | None") -> "dict[str, int] | None":
    if models is None:
        return None
    total: dict[str, int] = {}
    for tokens in models.values():
        total = names.added_tokens(total, tokens)
    return total


def _span_id(run_id: str) -> str:
    return digest(run_id)[:16]
