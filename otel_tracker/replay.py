"""Which of the journal's events count for a document that hasn't got them yet, and in which order. Pure.

Mostly all of them, in the order of their numbers. Two kinds of event say otherwise: a restored document may have
discarded events before it, and settings changed by hand are in force since the last event that the document held when
they were found, although others may have been appended meanwhile.
"""

from otel_tracker import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Event = dict[str, Any]

SAYING_OTHERWISE = (names.DOCUMENT_RESTORED, names.SETTINGS_CHANGED)
"""Actions of events that change which of the others count, or in which order."""


def in_force(events: "list[Event]") -> "list[Event]":
    """Return those of `events` that count, in the order in which they do; `events` are in that of their numbers."""
    if not any(event["action"] in SAYING_OTHERWISE for event in events):
        return events
    return sorted(not_discarded(events), key=_place)


def is_discarded(sequence: int, events: "list[Event]") -> bool:
    """Tell whether a document with this `sequence` holds what a restore among the later `events` has discarded."""
    restores = [event for event in events if event["action"] == names.DOCUMENT_RESTORED]
    return any(event["after"] < sequence <= event["until"] for event in not_discarded(restores))


def not_discarded(events: "list[Event]", discarded: "list[tuple[int, int]] | None" = None) -> "list[Event]":
    """Return those of `events` that no restore has discarded and no later settings have overwritten, in their order.

    `discarded`, ranges of numbers that later events have discarded, is added to.
    """
    kept: list[Event] = []
    discarded = [] if discarded is None else discarded
    settled = float("inf")  # settings found here or later were overwritten before they were found
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


def _place(event: "Event") -> float:
    """Return where an event stands: by its number, settings right behind the event since which they are in force."""
    is_settings = event["action"] == names.SETTINGS_CHANGED
    return float(event["since"]) + 0.5 if is_settings else float(event["seq"])
