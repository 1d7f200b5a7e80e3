"""Orders of the page: what each asks, and which are offered."""

import pytest

from otel_tracker import names
from otel_tracker.reporting.page.orders import KINDS, offered, order_of, override_of
from otel_tracker.state.document import Document
from tests.builders import AGENT, about, end, folded

FORCED = {"kind": names.FORCED_OPEN, "until": None, "reason": "deploy"}


def document(*, failures: int = 0, order: dict[str, str | None] | None = None) -> Document:
    events = [end(str(number), names.FAILURE, number) for number in range(failures)] or [end()]
    return folded(*events, *([about(names.BREAKER_OVERRIDE, 100, override=order)] if order else []))


@pytest.mark.parametrize("kind", KINDS)
def test_each_order_says_what_will_change_and_what_will_not(kind: str) -> None:
    order = order_of(document(failures=5, order=FORCED), AGENT, kind)
    assert order
    assert AGENT in order.button
    assert AGENT in order.answer
    assert order.will.endswith(".")
    assert "stay" in order.wont
    assert order_of(document(), AGENT, "explode") is None


def test_a_reset_says_that_an_order_stays() -> None:
    order = order_of(document(failures=3, order=FORCED), AGENT, "reset")
    assert order
    assert "3 failures in a row" in order.will
    assert "forced open: deploy" in order.wont


def test_only_orders_that_change_anything_are_offered() -> None:
    assert offered(document().agents[AGENT]) == ("open", "disable")
    assert offered(document(failures=1).agents[AGENT]) == ("reset", "open", "disable")
    assert offered(document(order=FORCED).agents[AGENT]) == ("close", "disable")


def test_an_order_has_its_reason_and_a_close_lifts_it() -> None:
    opened, closed = (order_of(document(), AGENT, kind) for kind in ("open", "close"))
    assert opened
    assert closed
    assert override_of(opened, "deploy") == FORCED
    assert override_of(opened, "") == {**FORCED, "reason": None}
    assert override_of(closed, "x") is None
