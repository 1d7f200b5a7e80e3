"""Two things measured by turns, because only their ratio means something on a machine that does other work, too."""

from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Act = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One line of the table: a time in seconds, or a rate in events a second, beside that of its baseline."""

    name: str
    ours: float
    baseline: float
    bound: float | None = None
    """The ratio of times that is not to be exceeded, or of rates that is to be reached; None: there is none."""
    is_rate: bool = False

    @property
    def ratio(self) -> float:
        """Ours by the baseline's."""
        return self.ours / self.baseline

    @property
    def is_over(self) -> bool:
        """Whether the ratio is on the wrong side of its bound."""
        if self.bound is None:
            return False
        return self.ratio < self.bound if self.is_rate else self.ratio > self.bound


def nothing() -> None:
    """Do nothing."""


def interleaved(
    ours: "Act",
    baseline: "Act",
    rounds: int,
    *,
    before_ours: "Act" = nothing,
    warm_up: int = 5,
    clock: "Callable[[], float]" = perf_counter,
) -> tuple[float, float]:
    """Return the median seconds of `ours` and of `baseline`, run by turns; `before_ours` runs untimed.

    With process_time as the `clock` they are seconds of processor time, of all threads.
    """
    times: tuple[list[float], list[float]] = [], []
    for _ in range(warm_up + rounds):
        before_ours()
        times[0].append(_seconds(ours, clock))
        times[1].append(_seconds(baseline, clock))
    return median(times[0][warm_up:]), median(times[1][warm_up:])


def _seconds(act: "Act", clock: "Callable[[], float]") -> float:
    began = clock()
    act()
    return clock() - began
