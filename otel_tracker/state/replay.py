"""Which of the journal's events count for a document that hasn't got them yet, and in which order. Pure.

Mostly all of them, in the order of their numbers. Two actions change that: a restore may have discarded events before it, and settings changed by
hand are in force since the last event that the document held when the change was noticed, although others may have been
appended meanwhile.
"""

from otel_tracker import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_tracker.state.shapes import Event


SAYING_OTHERWISE = (names.DOCUMENT_RESTORED, names.SETTINGS_CHANGED)
"""Actions of events that change which of the others count, or in which order."""


class Replay:
    """Which events count, and in which order. `later` are the events after a document's last one."""

    __slots__ = ("_discarded", "_settings")

    def __init__(self, later: "Iterable[Event]") -> None:
        otherwise = [event for event in later if event["action"] in SAYING_OTHERWISE]
        self._discarded: list[tuple[int, int]] = []
        counting = not_discarded(otherwise, self._discarded)
        settings = [event for event in counting if event["action"] == names.SETTINGS_CHANGED]
        self._settings = sorted(settings, key=lambda event: event["since"])

    def in_force(self, events: "Iterable[Event]") -> "Iterator[Event]":
        """Yield those of `events` that count, in the order in which they do; `events` are in that of their numbers.

        Settings stand right behind the event since which they are in force.
        """
        waiting = self._settings[::-1]
        for event in events:
            while waiting and waiting[-1]["since"] < event["seq"]:
                yield waiting.pop()
            if event["action"] != names.SETTINGS_CHANGED and not self.has_discarded(event["seq"]):
                yield event
        yield from waiting[::-1]

    def has_discarded(self, number: int) -> bool:
        """Tell whether a restore has discarded the event with this number, and documents that hold it."""
        return any(after < number <= until for after, until in self._discarded)


def not_discarded(events: "list[Event]", discarded: "list[tuple[int, int]] | None" = None) -> "list[Event]":
    """Return those of `events` that no restore has discarded and no later settings have overwritten, in their order.

    `discarded`, ranges of numbers that later events have discarded, is added to.
    """
    kept: list[Event] = []
    discarded = [] if discarded is None else discarded
    settled = float("inf")  # settings in force since here or later were overwritten before they were noticed
    for event in reversed(events):
        if any(after < event["seq"] <= until for after, until in discarded):
            continue
        if event["action"] == names.DOCUMENT_RESTORED:
            discarded.append((event["after"], event["until"]))
        if event["action"] == names.SETTINGS_CHANGED:
            if event["since"] >= settled:
                continue
            settled = event["since"]
        kept.append(event)
    return kept[::-1]
