"""The outcome of a task that an exception has ended. Pure."""

import asyncio

from otel_tracker import names
from otel_tracker.state.outages import members_of

_CANCELLATIONS = (KeyboardInterrupt, asyncio.CancelledError, GeneratorExit)
_FROM_BEST_TO_WORST = (names.SUCCESS, names.CANCELLED, names.FAILURE)


def outcome_of(error: BaseException) -> str:
    """Return the outcome of a task that `error` has ended.

    An interrupt or a cancellation cancels it, an exit with the status 0 is a success, and anything else is a failure.
    A group of exceptions is as bad as the worst one in it.
    """
    if isinstance(error, _CANCELLATIONS):
        return names.CANCELLED
    if isinstance(error, SystemExit):
        return names.SUCCESS if _is_status_0(error.code) else names.FAILURE
    inner = members_of(error)
    if not inner:
        return names.FAILURE
    return max((outcome_of(member) for member in inner), key=_FROM_BEST_TO_WORST.index)


def _is_status_0(code: object) -> bool:
    """Tell whether a process that exits with this code has the status 0; Python prints a code that is no whole number."""
    return code is None or (isinstance(code, int) and code == 0)
