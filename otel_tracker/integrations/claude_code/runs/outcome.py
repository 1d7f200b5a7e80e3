"""How a run of a sub-agent ended, from all the facts about it. Pure.

No single event of Claude Code's tells that: it reports a background agent as completed although an API error has ended it
(anthropics/claude-code#84155), or although it stops in the middle of a tool call (#83848), and some ends are not reported
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

RUNNING = "running"
"""The situation of a run that may still be running."""
GONE = "gone"
"""Claude Code no longer counts the run among the running ones."""
UNLISTED = "unlisted"
"""As GONE, and Claude Code would list the run if it were running: if its transcript is silent, it has ended."""
SESSION_OVER = "session over"
"""The session has ended, or the run's end has been recorded: nothing of it runs any more."""
SESSION_LEFT = "session left"
"""As SESSION_OVER, by the user's own choice."""
OVER = (SESSION_OVER, SESSION_LEFT)

UNKNOWN_AGENT, SESSION_ENDED = "unknown_agent", "session_ended"
_QUICK_SECONDS = 30.0
_OF_AN_OUTAGE_SECONDS = 60.0
_SILENT_SECONDS = 600.0  # Claude Code itself calls an agent stalled after them
_SILENT_IN_FRONT_SECONDS = 10.0
_IN_A_TOOL = "it stopped in the middle of a tool call"


class Verdict:
    """An outcome, its reason, and the outage that is to blame for it in the agent's place."""

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


def verdict(run: "Run", transcript: "Transcript | None", situation: str, silence: float = 0.0) -> "Verdict | None":
    """Return how a run ended, None while that is open.

    `situation` is RUNNING, GONE, UNLISTED, SESSION_OVER or SESSION_LEFT. `silence` is the number of seconds since the
    transcript was last written to, 0 where that says nothing.
    """
    if run.report == statuses.FAILED:
        return _failed(run, transcript)
    if run.report == statuses.KILLED:
        return Verdict(names.CANCELLED, reason="stopped before its end")
    if run.report == statuses.COMPLETED:
        return _reported_completed(run, transcript)
    if situation in OVER:
        return _not_reported(run, transcript, is_left=situation == SESSION_LEFT)
    if situation == RUNNING or transcript is None:
        return None
    return _not_reported(run, transcript) if _is_decisive(run, transcript) else _silent(run, transcript, silence)


def _silent(run: "Run", transcript: "Transcript", silence: float) -> "Verdict | None":
    """Judge a run that is gone in the middle of something. No event reports that Esc has ended a run in front (#9516)."""
    if run.is_stopped or transcript.ending not in ending.IN_BETWEEN:
        return None
    if run.returned is None and silence >= _SILENT_IN_FRONT_SECONDS:
        return Verdict(names.CANCELLED, reason="interrupted")
    return _lost() if silence >= _SILENT_SECONDS else None


def is_suspect(run: "Run", transcript: "Transcript | None", seconds: "float | None") -> bool:
    """Tell whether a success says nothing about the agent: it was done at once, and without a tool (#77331).

    If the number of tools is unknown, the success isn't suspect.
    """
    is_read = transcript is not None and transcript.ending == ending.CLEAN
    tool_uses = transcript.tool_uses if transcript is not None and is_read else run.tool_uses
    return seconds is not None and seconds < _QUICK_SECONDS and tool_uses == 0


def blamed_on(verdict: Verdict, at: float, outages_of_session: "list[list[Any]]") -> "str | None":
    """Return the outage that ended a turn of the main agent at about the moment at which a run failed without an error."""
    if verdict.outcome != names.FAILURE or verdict.error != _IN_A_TOOL:
        return None
    near: list[str] = [outage for outage, when in outages_of_session if abs(when - at) <= _OF_AN_OUTAGE_SECONDS]
    return near[-1] if near else None


def _failed(run: "Run", transcript: "Transcript | None") -> Verdict:
    if run.is_unknown_type:
        return Verdict(names.FAILURE, error=run.error, environment_error=UNKNOWN_AGENT)
    last = _by_transcript(transcript) if transcript is not None and transcript.error else Verdict(names.FAILURE)
    error = run.error or last.error or ("no progress for a long time" if run.is_stalled else "it failed")
    outage = run.outage or outages.outage_of(None, run.error) or last.environment_error
    return Verdict(names.FAILURE, error=error, error_type=last.error_type, environment_error=outage)


def _reported_completed(run: "Run", transcript: "Transcript | None") -> Verdict:
    if transcript is None or transcript.ending == ending.EMPTY:
        return _without_transcript(run)
    if transcript.ending == ending.AFTER_TOOL and not run.is_stopped:  # SubagentStop doesn't fire then
        return Verdict(names.SUCCESS, reason="it reached the limit of its turns")
    return _by_transcript(transcript)


def _without_transcript(run: "Run") -> Verdict:
    """Judge a run that has stopped and whose transcript says nothing."""
    if run.api_error is not None:
        return Verdict(names.FAILURE, error=run.api_error, environment_error=run.outage)
    return Verdict(names.SUCCESS)


def _by_transcript(transcript: "Transcript") -> Verdict:
    if transcript.ending in (ending.API_ERROR, ending.UNANSWERED):
        error, outage = transcript.error, transcript.outage
        return Verdict(names.FAILURE, error=error, error_type=transcript.error_type, environment_error=outage)
    if transcript.ending == ending.INTERRUPTED:
        return Verdict(names.CANCELLED, reason="interrupted by the user")
    if transcript.ending in (ending.MID_TOOL, ending.AFTER_TOOL):
        return Verdict(names.FAILURE, error=_IN_A_TOOL)
    return Verdict(names.SUCCESS)


def _is_decisive(run: "Run", transcript: "Transcript") -> bool:
    """Tell whether the transcript alone says how a run ended that is gone."""
    if transcript.ending == ending.CLEAN:
        return bool(run.is_stopped)
    return transcript.ending in (ending.API_ERROR, ending.UNANSWERED, ending.INTERRUPTED)


def _not_reported(run: "Run", transcript: "Transcript | None", *, is_left: bool = False) -> Verdict:
    """Judge a run that no longer runs and whose end no event has reported."""
    is_ended = transcript is not None and transcript.ending not in ending.IN_BETWEEN
    if transcript is not None and (is_ended or run.is_stopped):
        return _by_transcript(transcript)
    if run.is_stopped:
        return _without_transcript(run)
    return Verdict(names.CANCELLED, reason="the user left its session") if is_left else _lost()


def _lost() -> Verdict:
    reason = "its session ended, or it went silent, without its end"
    return Verdict(names.LOST, environment_error=SESSION_ENDED, reason=reason)
