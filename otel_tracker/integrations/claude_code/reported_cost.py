"""Reads the cost that `claude -p` reports: dollars by its own price list, kept apart from our estimates. Pure.

Source of the format: the documentation of Claude Code's Agent SDK (types SDKResultMessage and ModelUsage).
"""

from otel_tracker.state.prices import micro_dollars

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def total_cost(result: "dict[str, Any]") -> "int | None":
    """Return the total cost in a result, in micro-dollars; None if it has none."""
    return micro_dollars(result.get("total_cost_usd"))


def cost_by_model(result: "dict[str, Any]") -> "dict[str, int]":
    """Return the cost of each model in a result that has one, in micro-dollars, by the model's name.

    They are sums of the session, as the tokens beside them are. A model may come twice, with contexts of two sizes
    (`[1m]`).
    """
    costs: dict[str, int] = {}
    by_model = result.get("modelUsage")
    for name, usage in by_model.items() if isinstance(by_model, dict) else ():
        cost = micro_dollars(usage.get("costUSD")) if isinstance(usage, dict) else None
        if cost is not None:
            model = name.partition("[")[0]
            costs[model] = costs.get(model, 0) + cost
    return costs
