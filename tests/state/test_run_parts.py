from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from otel_tracker import names
from otel_tracker.state.amendment import amendment_of
from otel_tracker.state.run_parts import RunPart, parts_of
from tests.builders import end

TYPES = ("input", "output", "untyped", names.COST)
tokens = st.none() | st.dictionaries(st.sampled_from(TYPES), st.integers(0, 99), max_size=3)
ends = st.fixed_dictionaries(
    {
        "outcome": st.sampled_from([names.SUCCESS, names.FAILURE, names.LOST]),
        "model": st.sampled_from([None, "sonnet", "gpt"]),
        "tokens": tokens,
        "models": st.none() | st.dictionaries(st.sampled_from(["a", "b", "c"]), tokens, max_size=3),
    }
)


@given(ends, ends)
def test_an_end_and_the_difference_of_its_amendment_count_what_the_amended_end_counts(first: Any, second: Any) -> None:
    before, now = end("run", **first), end("run", after=61.0, **second)
    amendment = amendment_of(before, now)
    if amendment is None:
        return
    apart, at_once = [*parts_of(before), *parts_of(amendment)], parts_of(now)
    assert counted(apart, lambda part: part.model, TYPES) == counted(at_once, lambda part: part.model, TYPES)
    assert sum(part.runs for part in apart) == 1
    if before["action"] != now["action"]:
        assert counted(apart, of_all) == counted(at_once, of_all)


def of_all(part: RunPart) -> tuple[str, str | None]:
    return part.model, part.outcome


def counted(
    parts: list[RunPart], key: Callable[[RunPart], object], kinds: tuple[str, ...] = ("runs", *TYPES)
) -> dict[object, int]:
    """Return what parts add up to, by a key of each, without zeros."""
    sums: Counter[object] = Counter()
    for part in parts:
        for kind, number in {"runs": part.runs, **part.tokens}.items():
            if kind in kinds:
                sums[key(part), kind] += number
    return {place: number for place, number in sums.items() if number}
