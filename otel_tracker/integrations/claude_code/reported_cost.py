"""What `claude -p` says that its session has cost: dollars of its own price list, kept apart from our estimates. Pure.

Source of the format: the documentation of Claude Code's Agent SDK (types SDKResultMessage and ModelUsage).
"""

from otel_tracker.state.prices import micro_dollars

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def total_cost(result: "dict[str, Any]") -> "int | None":
    """Return the micro-dollars of all that a result tells of, None if it says no cost."""
    return micro_dollars(result.get("total_cost_usd"))


def cost_by_model(result: "dict[str, Any]") -> "dict[str, int]":
    """Return the micro-dollars of each model that a result says a cost of, by its name.

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
