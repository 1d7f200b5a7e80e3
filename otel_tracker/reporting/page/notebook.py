"""What a notebook shows of a tracker: what needs attention, and the agents, those in trouble first. Pure."""

from otel_tracker import names
from otel_tracker.reporting import summary, wording
from otel_tracker.reporting.page.render import rendered_part

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.reporting.attention import Attention
    from otel_tracker.state.document import Document
    from otel_tracker.state.shapes import Row

MOST_ROWS = 50
"""Agents that are shown; a notebook keeps all that it shows in its file."""
_HEADS = ("Agent", "Breaker", "Running", "Tasks", "Success", "Tokens", "Cost", "Last")
_TEXTS = 2  # of the columns; the others have numbers


def notebook(document: "Document", attention: "list[Attention]", now: float) -> str:
    """Return tables in HTML, without style sheet or script; texts of others are escaped."""
    used = [row for row in summary.agent_states(document, now) if _is_used(row)]
    ranks = {item.agent: rank for rank, item in reversed(list(enumerate(attention)))}
    used.sort(key=lambda row: ranks.get(row["agent_file"], len(ranks)))
    idle = len(document.agents) - len(used)
    left_out = [
        *([f"and {wording.counted(len(used) - MOST_ROWS, 'other agent', 'other agents')}"] if used[MOST_ROWS:] else []),
        *([f"{wording.counted(idle, 'agent has', 'agents have')} not run a task yet"] if idle else []),
    ]
    rows = [_cells(row, now) for row in used[:MOST_ROWS]]
    return rendered_part(
        "notebook", attention=attention, heads=_HEADS, rows=rows, texts=_TEXTS, left_out="; ".join(left_out)
    )


def _cells(row: "Row", now: float) -> "tuple[object, ...]":
    uses, incomplete = row["token_usage"].values(), row["usage_incomplete"]
    tokens = wording.shown_tokens(sum(use["total"] for use in uses), incomplete, *uses)
    return (
        row["agent_file"],
        row["status"],
        row["in_flight"] or "-",
        f"{row['metrics']['tasks_total']:,}",
        wording.percent(row["success_rate"]),
        f"{tokens:,}" if isinstance(tokens, int) else tokens,
        wording.cost(row, is_lower_bound=bool(incomplete)),
        wording.ago(row["metrics"]["last_task_timestamp"], now),
    )


def _is_used(row: "Row") -> bool:
    return bool(row["metrics"]["tasks_total"] or row["in_flight"] or row["state"] != names.CLOSED or row["override"])
