from itertools import count

import pytest

from otel_tracker import names
from otel_tracker.state.replay import Replay
from otel_tracker.state.shapes import Event


def journal(*said: "str | Event") -> list[Event]:
    """Return events with the numbers 1, 2, ...; a word is an event that says nothing of others."""
    numbers = count(1)
    return [{"seq": next(numbers), **({"action": one} if isinstance(one, str) else one)} for one in said]


def restored(after: int, until: int) -> Event:
    return {"action": names.DOCUMENT_RESTORED, "after": after, "until": until}


def settled(since: int) -> Event:
    return {"action": names.SETTINGS_CHANGED, "since": since}


def order(*said: "str | Event") -> list[int]:
    events = journal(*said)
    return [event["seq"] for event in Replay(events).in_force(iter(events))]


def test_events_count_in_the_order_of_their_numbers() -> None:
    assert order("a", "b", "c") == [1, 2, 3]
    assert order() == []


def test_settings_count_before_the_events_that_came_while_they_were_found() -> None:
    assert order("a", "b", settled(1), "c") == [1, 3, 2, 4]
    assert order(settled(0), "a") == [1, 2]


def test_settings_that_were_overwritten_before_they_were_found_do_not_count() -> None:
    assert order("a", "b", settled(2), "c", settled(1)) == [1, 5, 2, 4]
    assert order("a", settled(1), "b", settled(3)) == [1, 2, 3, 4]


def test_what_a_restore_has_discarded_does_not_count() -> None:
    assert order("a", "b", "c", restored(1, 3), "d") == [1, 4, 5]
    assert order("a", restored(1, 1), "b") == [1, 2, 3]


def test_a_restore_that_was_discarded_itself_discards_nothing() -> None:
    assert order("a", "b", "c", restored(1, 3), "d", restored(3, 5)) == [1, 2, 3, 6]


def test_discarded_settings_do_not_count() -> None:
    assert order("a", "b", settled(1), restored(1, 3), "c") == [1, 4, 5]


@pytest.mark.parametrize(("sequence", "is_on_it"), [(0, False), (1, False), (2, True), (3, True), (4, False)])
def test_a_document_that_has_what_was_discarded_is_discarded_too(sequence: int, is_on_it: bool) -> None:
    events = journal("a", "b", "c", restored(1, 3), "d")
    assert Replay(events[sequence:]).has_discarded(sequence) is is_on_it


def test_a_document_that_a_later_restore_went_back_to_is_not_discarded() -> None:
    events = journal("a", "b", "c", restored(1, 3), "d", restored(3, 5))
    discarded = [Replay(events[sequence:]).has_discarded(sequence) for sequence in range(7)]
    assert discarded == [False] * 4 + [True] * 2 + [False]
