"""When a failed attempt is repeated: exponential pauses with jitter, `Retry-After`, and where there is no point in it."""

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import tenacity

from otel_tracker.runtime.interrupts import is_interrupt
from otel_tracker.state.event import error_text
from otel_tracker.state.outages import AUTHENTICATION, BILLING, outage_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
LONGEST_RETRY_AFTER_SECONDS = 300.0
"""An error that asks for a longer pause than this ends the task: no task waits for an hour."""


class Retries:
    """At most `limit` attempts after the first one that failed.

    An attempt isn't repeated after an interrupt or a cancellation, nor where `is_refused()`, where it would meet the
    same closed door (authentication, billing), or where the error has `is_final`.
    """

    def __init__(self, limit: int, is_refused: "Callable[[], bool]") -> None:
        self._is_refused = is_refused
        self._policy: dict[str, Any] = {
            "stop": tenacity.stop_after_attempt(limit + 1),
            "retry": tenacity.retry_if_exception(self._is_worth_it),
            "wait": _pause,
            "reraise": True,
        }

    def call(self, function: "Callable[..., Any]", *arguments: Any) -> Any:
        """Return the result of the first attempt that succeeds; raises the error of the last one."""
        return tenacity.Retrying(**self._policy)(function, *arguments)

    async def await_call(self, function: "Callable[..., Awaitable[Any]]", *arguments: Any) -> Any:
        """Do the same with a coroutine function."""
        return await tenacity.AsyncRetrying(**self._policy)(function, *arguments)

    def _is_worth_it(self, error: BaseException) -> bool:
        return (
            isinstance(error, Exception)
            and not getattr(error, "is_final", False)
            and not is_interrupt(error)
            and outage_of(error, error_text(error)) not in (AUTHENTICATION, BILLING)
            and (retry_after(error) or 0.0) <= LONGEST_RETRY_AFTER_SECONDS
            and not self._is_refused()
        )


_backoff = tenacity.wait_random_exponential(multiplier=FIRST_PAUSE_SECONDS, max=LONGEST_PAUSE_SECONDS)


def _pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return max(_backoff(state), (retry_after(error) or 0.0) if error is not None else 0.0)


def retry_after(error: BaseException, now: "Callable[[], float]" = time.time) -> float | None:
    """Return after how many seconds an error asks to be asked again, None if it doesn't say.

    That is its attribute `retry_after`, or the header `Retry-After` of its `response`: seconds or a date (RFC 9110).
    """
    pause = getattr(error, "retry_after", None)
    if pause is None:
        headers = getattr(getattr(error, "response", None), "headers", None)
        try:
            pause = {str(key).lower(): value for key, value in dict(headers or {}).items()}.get("retry-after")
        except (TypeError, ValueError):
            return None
    try:
        seconds = float(pause)  # type: ignore[arg-type]
    except OverflowError:
        return None
    except (TypeError, ValueError):
        try:
            seconds = parsedate_to_datetime(str(pause)).timestamp() - now()
        except (TypeError, ValueError, OverflowError):
            return None
    return max(0.0, seconds) if seconds == seconds else None  # noqa: PLR0124 - not a number
