import json
from typing import Any

import pytest

from otel_tracker.integrations.claude_code.reported_cost import cost_by_model, total_cost
from tests.places import DATA


def test_a_result_of_claude_says_what_its_session_and_each_model_have_cost() -> None:
    result = json.loads((DATA / "claude" / "result-success.json").read_text())
    assert total_cost(result) == round(result["total_cost_usd"] * 1_000_000)
    assert cost_by_model(result) == {
        model: round(usage["costUSD"] * 1_000_000) for model, usage in result["modelUsage"].items()
    }
    assert sum(cost_by_model(result).values()) == total_cost(result)


def test_a_model_with_contexts_of_two_sizes_is_one() -> None:
    usage = {
        "claude-opus-5": {"costUSD": 0.25},
        "claude-opus-5[1m]": {"costUSD": 0.5},
        "claude-haiku-5-5": {"costUSD": 0},
    }
    assert cost_by_model({"modelUsage": usage}) == {"claude-opus-5": 750_000, "claude-haiku-5-5": 0}


@pytest.mark.parametrize("nothing", [None, "much", -1, True, [], {}, float("nan")])
def test_what_is_no_cost_is_unknown_and_not_0(nothing: Any) -> None:
    assert total_cost({"total_cost_usd": nothing}) is None
    assert cost_by_model({"modelUsage": nothing}) == cost_by_model({"modelUsage": {"m": nothing}}) == {}
    assert cost_by_model({"modelUsage": {"m": {"costUSD": nothing}}}) == cost_by_model({"modelUsage": {"m": {}}}) == {}
    assert (total_cost({}), cost_by_model({})) == (None, {})
