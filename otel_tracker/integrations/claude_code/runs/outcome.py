"""How a run of a sub-agent ended, from all that is known of it. Pure.

No single event of Claude Code's says it: a finished background agent is called completed although an API error has ended
it (anthropics/claude-code#84155), or although it stops in the middle of a tool call (#83848), and some ends are not told
at all (#92716). So what is reported is weighed against the run's own transcript.
"""

from otel_tracker import names
from otel_tracker.integrations.claude_code.transcripts import ending, statuses
from otel_tracker.state import outages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from otel_tracker.integrations.claude_code.runs.run import Run
    from otel_tracker.integrations.claude_code.transcripts.transcript import Transcript

UNKNOWN_AGENT, SESSION_ENDED = "unknown_agent", "session_ended"
_QUICK_SECONDS = 30.0
_OF_AN_OUTAGE_SECONDS = 60.0
_SILENT_SECONDS = 600.0  # after which Claude Code itself calls an agent stalled
_SILENT_IN_FRONT_SECONDS = 10.0
_IN_A_TOOL = "it stopped in the middle of a tool call"


class Verdict:
    """An outcome, why it is one, and whether something else than the agent is to blame for it."""

    __slots__ = ("environment_error", "error", "error_type", "outcome", "reason")

    def __init__(
        self,
        outcome: str,
        *,
        error: "str | None" = None,
        error_type: "str | None" = None,
        environment_error: "str | None" = None,
        reason: "str | None" = None,
    ) -> None:
        self.outcome, self.error, self.error_type = outcome, error, error_type
        self.environment_error, self.reason = environment_error, reason


def verdict(
    run: "Run",
    found: "Transcript | None",
    *,
    is_gone: bool,
    is_over: bool,
    is_left: bool = False,
    silence: float = 0.0,
) -> "Verdict | None":
    """Return how a run ended, None as long as that is open.

    `found` is its transcript, to which nothing has come for the seconds of `silence`. `is_gone` says that Claude Code no
    longer counts it among the running ones, `is_over` that its session has ended.
    """
    if run.report == statuses.FAILED:
        return _failed(run, found)
    if run.report == statuses.KILLED:
        return Verdict(names.CANCELLED, reason="stopped before its end")
    if run.report == statuses.COMPLETED:
        return _reported_completed(run, found)
    if run.is_settled or is_over:
        return _not_reported(run, found, is_left=is_left)
    if not is_gone or found is None:
        return None
    return _not_reported(run, found) if _is_decisive(run, found) else _silent(run, found, silence)


def _silent(run: "Run", found: "Transcript", silence: float) -> "Verdict | None":
    """Judge a run that is gone in the middle of something. Esc ends one that held up the turn, and tells nobody (#9516)."""
    if run.is_stopped or found.ending not in ending.IN_BETWEEN:
        return None
    if run.returned is None and silence >= _SILENT_IN_FRONT_SECONDS:
        return Verdict(names.CANCELLED, reason="interrupted")
    return _lost() if silence >= _SILENT_SECONDS else None


def is_suspect(run: "Run", found: "Transcript | None", seconds: "float | None") -> bool:
    """Tell whether a success says nothing of the agent: done at once, and without a tool (#77331).

    Where nothing tells of tools, it isn't suspect.
    """
    is_read = found is not None and found.ending == ending.CLEAN
    tool_uses = found.tool_uses if found is not None and is_read else run.tool_uses
    return seconds is not None and seconds < _QUICK_SECONDS and tool_uses == 0


def blamed_on(verdict: Verdict, at: float, outages_of_session: "list[list[Any]]") -> "str | None":
    """Return the outage that ended the main agent's turn about when a run failed for no reason that it tells."""
    if verdict.outcome != names.FAILURE or verdict.error != _IN_A_TOOL:
        return None
    near: list[str] = [kind for kind, when in outages_of_session if abs(when - at) <= _OF_AN_OUTAGE_SECONDS]
    return near[-1] if near else None


def _failed(run: "Run", found: "Transcript | None") -> Verdict:
    if run.is_unknown_type:
        return Verdict(names.FAILURE, error=run.error, environment_error=UNKNOWN_AGENT)
    last = _by_transcript(found) if found is not None and found.error else Verdict(names.FAILURE)
    said = run.error or last.error or ("no progress for a long time" if run.is_stalled else "it failed")
    outage = run.outage or outages.outage_of(None, run.error) or last.environment_error
    return Verdict(names.FAILURE, error=said, error_type=last.error_type, environment_error=outage)


def _reported_completed(run: "Run", found: "Transcript | None") -> Verdict:
    if found is None or found.ending == ending.EMPTY:
        return _without_transcript(run)
    if found.ending == ending.AFTER_TOOL and not run.is_stopped:  # SubagentStop doesn't fire then
        return Verdict(names.SUCCESS, reason="it reached the limit of its turns")
    return _by_transcript(found)


def _without_transcript(run: "Run") -> Verdict:
    """Judge a run that has stopped, and whose transcript says nothing."""
    if run.api_error is not None:
        return Verdict(names.FAILURE, error=run.api_error, environment_error=run.outage)
    return Verdict(names.SUCCESS)


def _by_transcript(found: "Transcript") -> Verdict:
    if found.ending in (ending.API_ERROR, ending.UNANSWERED):
        return Verdict(names.FAILURE, error=found.error, error_type=found.error_type, environment_error=found.outage)
    if found.ending == ending.INTERRUPTED:
        return Verdict(names.CANCELLED, reason="interrupted by the user")
    if found.ending in (ending.MID_TOOL, ending.AFTER_TOOL):
        return Verdict(names.FAILURE, error=_IN_A_TOOL)
    return Verdict(names.SUCCESS)


def _is_decisive(run: "Run", found: "Transcript") -> bool:
    """Tell whether the transcript alone says how a run ended that is gone."""
    if found.ending == ending.CLEAN:
        return bool(run.is_stopped)
    return found.ending in (ending.API_ERROR, ending.UNANSWERED, ending.INTERRUPTED)


def _not_reported(run: "Run", found: "Transcript | None", *, is_left: bool = False) -> Verdict:
    """Judge a run whose end no event has reported, and that isn't running any more."""
    is_told = found is not None and found.ending not in ending.IN_BETWEEN
    if found is not None and (is_told or run.is_stopped):
        return _by_transcript(found)
    if run.is_stopped:
        return _without_transcript(run)
    return Verdict(names.CANCELLED, reason="the user left its session") if is_left else _lost()


def _lost() -> Verdict:
    reason = "its session ended, or it went silent, without its end"
    return Verdict(names.LOST, environment_error=SESSION_ENDED, reason=reason)
