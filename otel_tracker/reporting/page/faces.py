"""An agent's face: the last 20 outcomes as a row of marks; and its breaker in words. Pure."""

from typing import NamedTuple

from otel_tracker import names
from otel_tracker.reporting import wording
from otel_tracker.reporting.page.figures import MARKS, RUNNING, duration, plural
from otel_tracker.reporting.recent import LAST_RUNS
from otel_tracker.runtime.timestamps import parse_timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_tracker.reporting.page.tally import End
    from otel_tracker.state.shapes import Row

_BAD = (names.FAILURE, names.LOST)


class Marks(NamedTuple):
    """Marks of the same outcome, side by side."""

    outcome: str
    text: str


class Face(NamedTuple):
    """The last outcomes, oldest first, and the same in words."""

    marks: "list[Marks]"
    tip: str
    bad: int
    """How many of them are failures or lost."""


def face_of(ends: "Sequence[End]", running: int, of: str) -> Face:
    """Return the face of an agent of its ended runs, oldest first, and the number of its running ones."""
    outcomes = [end.outcome for end in ends if end.runs == 1 and end.outcome in MARKS][-LAST_RUNS:]
    counted = {outcome: outcomes.count(outcome) for outcome in MARKS if outcome in outcomes}
    said = ", ".join(f"{number} {outcome}" for outcome, number in counted.items()) or "none"
    marks: list[Marks] = []
    for outcome in [*map(str, outcomes), *[RUNNING] * min(running, 5)]:
        if marks and marks[-1].outcome == outcome:
            marks[-1] = Marks(outcome, marks[-1].text + MARKS[outcome])
        else:
            marks.append(Marks(outcome, MARKS[outcome]))
    now = f"; {running} running" if running else ""
    return Face(marks, f"last {plural(len(outcomes), 'run')} {of}: {said}{now}", sum(map(outcomes.count, _BAD)))


class Breaker(NamedTuple):
    """A breaker as it is now."""

    text: str
    level: str
    """`ok`, `look` or `broken`."""
    tip: str
    until: "float | None" = None
    """When the cooldown is over, for the countdown that the page shows."""


def breaker_of(row: "Row", now: float) -> Breaker:
    """Return the breaker of an agent's state (`summary.agent_state`) in words."""
    failures = names.failures_in_a_row(row["failures"])
    if row["override"]:
        tip = f"a person's order: {wording.shown_override(row['override'])}"
        is_forced = row["status"] == names.FORCED_OPEN
        return Breaker("forced open" if is_forced else "disabled", "broken" if is_forced else "look", tip)
    if row["state"] == names.OPEN:
        until = parse_timestamp(row["blacklisted_until"])
        tip = f"{failures}; blacklisted until {wording.moment(row['blacklisted_until'])} UTC"
        return Breaker(f"blacklisted {duration(max(0.0, until - now))}", "broken", tip, until)
    if row["permit"]:
        return Breaker("probe running", "look", f"the probe is {wording.shown_permit(row['permit'])}")
    if row["state"] == names.HALF_OPEN:
        return Breaker("half open", "look", "its cooldown is over: the next task is the probe, whose outcome decides")
    if row["failures"]:
        return Breaker(f"healthy, {row['failures']} ✕", "ok", f"every task is let through; {failures}")
    return Breaker("healthy", "ok", "every task is let through; its last run that counts did not fail")
