import time
from collections.abc import Iterator
from datetime import UTC
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_tracker.errors import InvalidValueError
from otel_tracker.reporting.choices import PERIODS
from otel_tracker.reporting.window import PERIOD_NAMES, Window, hour, moment, week, window
from otel_tracker.runtime.timestamps import format_timestamp, parse_timestamp
from tests.builders import NOON

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Cairo")


@pytest.fixture(params=ZONES)
def zone_name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Let the reader live in a zone."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()


@pytest.mark.parametrize(
    ("text", "first", "after"),
    [
        ("today", "2026-02-14T23:00", "2026-02-15T23:00"),
        ("yesterday", "2026-02-13T23:00", "2026-02-14T23:00"),
        ("month", "2026-01-31T23:00", "2026-02-28T23:00"),
        ("2026-01-01", "2025-12-31T23:00", "2026-01-01T23:00"),
        ("2026-03-29", "2026-03-28T23:00", "2026-03-29T22:00"),  # 23 hours
        ("2026-10-25", "2026-10-24T22:00", "2026-10-25T23:00"),  # 25 hours
    ],
)
def test_a_day_or_a_month_begins_a_window_with_its_first_moment_and_ends_it_with_its_last(
    text: str, first: str, after: str
) -> None:
    assert window(text, text, NOON, BERLIN) == Window(parse_timestamp(first), parse_timestamp(after), BERLIN)


@pytest.mark.parametrize(
    ("text", "seconds"), [("7d", 604_800), ("1w", 604_800), ("24h", 86_400), ("30m", 1800), ("90s", 90), ("1.5h", 5400)]
)
def test_a_time_is_so_long_ago_as_a_beginning_and_as_an_end(text: str, seconds: float) -> None:
    assert moment(text, NOON) == moment(text, NOON, is_end=True) == NOON - seconds


def test_a_timestamp_is_itself_and_without_an_offset_utc() -> None:
    for text in ("2026-02-15T12:00", "2026-02-15T12:00:00Z", "2026-02-15T14:00:00+02:00", format_timestamp(NOON)):
        assert moment(text, 0.0, BERLIN) == NOON


@pytest.mark.parametrize("text", ["", "soon", "7", "d", "-1d", "1e3d", "2026-02-30", "2026-13-01", "99999999d", "0d0d"])
def test_any_other_text_is_an_error_that_names_what_is_expected(text: str) -> None:
    with pytest.raises(InvalidValueError, match="yesterday"):
        moment(text, NOON)


def test_a_window_must_not_end_before_it_begins() -> None:
    with pytest.raises(InvalidValueError):
        window("today", "yesterday", NOON)


def test_the_window_before_is_as_long_and_ends_where_this_one_begins() -> None:
    assert Window(100.0, None).before(130.0) == Window(70.0, 100.0)
    assert Window(100.0, 110.0).before(130.0) == Window(90.0, 100.0)
    assert Window(None, 110.0).before(130.0) is None


def test_days_are_the_readers(zone_name: str) -> None:
    """The local time that Python knows gives what the zone of that name gives, all through the year."""
    zone = ZoneInfo(zone_name)
    for hours in range(0, 366 * 24, 5):
        at = NOON + hours * 3600 + 1234.5
        for name, period in PERIOD_NAMES.items():
            assert period(at, None) == period(at, zone), name
        for text in ("today", "yesterday", "month"):
            for is_end in (False, True):
                assert moment(text, at, None, is_end=is_end) == moment(text, at, zone, is_end=is_end)


@given(st.floats(0, 4e9), st.sampled_from(ZONES))
def test_each_moment_is_in_the_day_that_it_is_named_after(at: float, name: str) -> None:
    zone = ZoneInfo(name)
    day = PERIOD_NAMES["day"](at, zone)
    assert window(day, day, NOON, zone).contains(at)
    assert window("today", "today", at, zone).contains(at)
    assert day.startswith(PERIOD_NAMES["month"](at, zone))
    assert hour(at, zone).startswith(day)


def test_an_hour_that_comes_twice_has_two_names() -> None:
    twice = [parse_timestamp("2026-10-25T00:30:00Z"), parse_timestamp("2026-10-25T01:30:00Z")]
    assert [hour(at, BERLIN) for at in twice] == ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00"]


def test_weeks_are_those_of_iso_8601() -> None:
    assert week(parse_timestamp("2027-01-03T12:00"), UTC) == "2026-W53"
    assert week(parse_timestamp("2027-01-04T12:00"), UTC) == "2027-W01"


def test_each_part_of_time_that_rows_may_be_by_has_names() -> None:
    assert tuple(PERIOD_NAMES) == PERIODS
