import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_tracker.runtime.timestamps import format_timestamp, parse_timestamp

# Until then a float tells one microsecond from the next.
_YEAR_2200 = 7_258_118_400
microseconds = st.integers(-62_135_596_800 // 8 * 10**6, _YEAR_2200 * 10**6)


def test_a_timestamp_is_utc_to_the_microsecond_with_a_z() -> None:
    assert format_timestamp(1_771_191_000) == "2026-02-15T21:30:00.000000Z"
    assert format_timestamp(1_771_191_000.25) == "2026-02-15T21:30:00.250000Z"


def test_a_fraction_that_rounds_up_moves_on_to_the_next_second() -> None:
    assert format_timestamp(0.9999999) == "1970-01-01T00:00:01.000000Z"


@given(microseconds)
def test_a_timestamp_says_the_moment_that_it_was_made_of(number: int) -> None:
    assert parse_timestamp(format_timestamp(number / 10**6)) == number / 10**6


@given(microseconds, microseconds)
def test_timestamps_have_one_width_and_sort_by_time(one: int, other: int) -> None:
    texts = [format_timestamp(number / 10**6) for number in sorted((one, other))]
    assert [len(text) for text in texts] == [27, 27]
    assert texts == sorted(texts)


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-15T21:30:00Z",
        "2026-02-15T21:30:00z",
        "2026-02-15T21:30:00",
        "2026-02-15 21:30:00",
        "2026-02-15T21:30",
        " 2026-02-15T21:30:00Z\n",
        "2026-02-15T21:30:00.0Z",
        "2026-02-15T22:30:00+01:00",
        "2026-02-15T16:00:00.000000-05:30",
    ],
)
def test_a_moment_may_be_written_in_many_ways_and_without_an_offset_it_is_utc(text: str) -> None:
    assert parse_timestamp(text) == 1_771_191_000


@pytest.fixture
def _in_japan(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "JST-9")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_in_japan")
def test_the_time_zone_of_the_machine_means_nothing() -> None:
    assert time.localtime(0).tm_hour == 9
    assert parse_timestamp("2026-02-15T21:30:00") == 1_771_191_000
    assert format_timestamp(1_771_191_000) == "2026-02-15T21:30:00.000000Z"


@pytest.mark.parametrize(
    ("fraction", "seconds"), [(".5", 0.5), (".25", 0.25), (".123456", 0.123456), (".123456789", 0.123456)]
)
@pytest.mark.parametrize("offset", ["", "Z", "+00:00"])
def test_a_fraction_may_have_any_number_of_digits(fraction: str, seconds: float, offset: str) -> None:
    assert parse_timestamp(f"1970-01-01T00:00:00{fraction}{offset}") == seconds


@pytest.mark.parametrize(
    "text", ["", "Z", ".", "yesterday", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-02-15T25:00:00Z", "12"]
)
def test_what_is_no_timestamp_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse_timestamp(text)


@given(st.text() | st.from_regex(r"\A\d{4}-[01]\d-[0-3]\dT[0-2]\d:\d\d:\d\d(\.\d*)?(Z|[+-]\d\d:\d\d)?\Z"))
def test_no_text_at_all_raises_anything_but_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert isinstance(parse_timestamp(text), float)
