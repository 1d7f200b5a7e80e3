"""Reports over a document: Markdown for people, plain data for JSON. What matters comes first. Pure."""

import re

from otel_tracker import names
from otel_tracker.reporting import summary
from otel_tracker.runtime.printable import columns, printable
from otel_tracker.runtime.timestamps import format_timestamp, parse_timestamp
from otel_tracker.state.document import Document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

_LEADERS = 10
TOKENS_BY_MODEL = ("Model", "Tokens", "Tasks", "Measured", "Tokens per measured task")


def report_data(document: Document, now: float) -> "dict[str, Any]":
    """Return the JSON report: `generated_at`, `version`, `system`, `tokens`, `leaderboard`, `agents`."""
    return {
        "generated_at": format_timestamp(now),
        "version": document.head["version"],
        "system": summary.system_metrics(document),
        "tokens": summary.token_summary(document),
        "leaderboard": summary.leaderboard(document, top_n=_LEADERS),
        "agents": {row["agent_file"]: row for row in summary.agent_states(document, now)},
    }


def markdown(document: Document, now: float) -> str:
    """Return the report in Markdown."""
    agents = summary.agent_states(document, now)
    parts = [
        "# Agent Metrics Report",
        f"Generated {moment(format_timestamp(now))} UTC · format {document.head['version']}",
        *_blacklisted(agents, now),
        *_system(document),
        *_tokens(document),
        *_agents(agents),
    ]
    return "\n\n".join(parts) + "\n"


def _blacklisted(agents: "list[dict[str, Any]]", now: float) -> "list[str]":
    rows = [
        (row["agent_file"], _refusal(row, now), row["failures"], moment(row["last_failure"]))
        for row in agents
        if row["state"] != names.CLOSED or row["override"]
    ]
    if not rows:
        return ["## Blacklisted", "No agent is blacklisted."]
    return ["## Blacklisted", table(("Agent", "Until (UTC)", "Failures in a row", "Last failure (UTC)"), rows, "lrrr")]


def _refusal(row: "dict[str, Any]", now: float) -> str:
    """Return until when an agent that isn't simply healthy is refused, and by whom."""
    if row["override"]:
        return shown_override(row["override"])
    if row["permit"]:
        return f"a probe is running: {shown_permit(row['permit'])}"
    if row["state"] == names.HALF_OPEN:
        return "cooldown over: the next task decides"
    return f"{moment(row['blacklisted_until'])} (in {left(row['blacklisted_until'], now)})"


def _system(document: Document) -> "list[str]":
    metrics = summary.system_metrics(document)
    rows = [
        ("Agents", metrics["total_agents"]),
        ("Tasks", metrics["total_requests"]),
        ("Successful", metrics["successful"]),
        ("Failed", metrics["failed"]),
        ("Cancelled", metrics["cancelled"]),
        ("Success rate", percent(metrics["success_rate"])),
        ("Running now", len(document.head["in_flight"])),
        ("Breakers opened", metrics["circuit_breaks"]),
        ("Fallbacks used", metrics["fallback_used"]),
    ]
    return ["## System", table(("Metric", "Value"), rows, "lr")]


def _tokens(document: Document) -> "list[str]":
    return ["## Tokens by model", table(TOKENS_BY_MODEL, tokens_by_model(document), "lrrrr"), *_lower_bounds(document)]


def tokens_by_model(document: Document) -> "list[tuple[object, ...]]":
    """Return the rows of a table of tokens by model, with the headings TOKENS_BY_MODEL."""
    return [
        (
            model,
            shown_tokens(row["total"], row["usage_incomplete"], row),
            row["count"],
            "-" if row["measured"] is None else row["measured"],
            "-" if row["avg"] is None else at_least(round(row["avg"]), row["usage_incomplete"]),
        )
        for model, row in summary.token_summary(document).items()
    ]


def _lower_bounds(document: Document) -> "list[str]":
    incomplete = sum(agent["tallies"]["usage_incomplete"] for agent in document.agents.values())
    return [lower_bound(incomplete)] if incomplete else []


def _agents(agents: "list[dict[str, Any]]") -> "list[str]":
    used = [row for row in agents if row["metrics"]["tasks_total"] or row["in_flight"] or row["state"] != names.CLOSED]
    used.sort(key=lambda row: (-row["metrics"]["tasks_total"], row["agent_file"]))
    if not used:
        return ["## Agents", f"{len(agents)} agents are registered; none has run a task yet."]
    rows = [
        (
            row["agent_file"],
            row["status"],
            row["metrics"]["tasks_total"],
            percent(row["success_rate"]),
            row["metrics"]["tasks_failed"],
            row["metrics"]["tasks_cancelled"],
            seconds(row["metrics"]["avg_duration_seconds"]) if row["metrics"]["tasks_total"] else "-",
            shown_tokens(
                sum(tokens["total"] for tokens in row["token_usage"].values()),
                row["usage_incomplete"],
                *row["token_usage"].values(),
            ),
            moment(row["metrics"]["last_task_timestamp"]),
        )
        for row in used
    ]
    headings = ("Agent", "Status", "Tasks", "Success", "Failed", "Cancelled", "Average", "Tokens", "Last task (UTC)")
    idle = len(agents) - len(used)
    note = [f"{idle} more registered agents have not run a task yet."] if idle else []
    return ["## Agents", table(headings, rows, "llrrrrrrr"), *note]


def table(headings: "Sequence[str]", rows: "Iterable[Sequence[object]]", alignment: str) -> str:
    """Return a Markdown table, aligned to be read as text; `alignment` has a letter for each column: l or r."""
    cells = [[str(heading) for heading in headings], *([escape(cell) for cell in row] for row in rows)]
    widths = [max(4, *map(columns, column)) for column in zip(*cells, strict=True)]
    rule = [":" + "-" * (w - 1) if to == "l" else "-" * (w - 1) + ":" for w, to in zip(widths, alignment, strict=True)]
    lines = [cells[0], rule, *cells[1:]]
    return "\n".join("| " + " | ".join(padded(line, widths, alignment)) + " |" for line in lines)


def padded(line: "Sequence[str]", widths: "Sequence[int]", alignment: str) -> "list[str]":
    """Return the cells of a line, each as wide as its column."""
    shown = zip(line, widths, alignment, strict=True)
    return [_filled(cell, " " * (width - columns(cell)), to) for cell, width, to in shown]


def _filled(cell: str, space: str, to: str) -> str:
    return cell + space if to == "l" else space + cell


def escape(value: object) -> str:
    """Return a value as the text of a Markdown table's cell; numbers with thousands separated."""
    if isinstance(value, int):
        return f"{value:,}"
    text = re.sub(r"([\\`*_\[\]<>|])", r"\\\1", printable(" ".join(str(value).split())))
    # An underscore inside a word doesn't start emphasis, and agent files are full of them.
    return re.sub(r"(?<=\w)\\_(?=\w)", "_", text)


def shown_tokens(tokens: int, incomplete: "object", *uses: "dict[str, Any]") -> "int | str":
    """Return tokens as they are shown: as lower bounds where they are, and as a dash where those of all `uses` are unknown."""
    return "-" if summary.is_unmeasured(*uses) else at_least(tokens, incomplete)


def at_least(tokens: int, incomplete: "object") -> "int | str":
    """Return tokens as they are shown: a lower bound where the final usage of something in them is missing."""
    return f"≥ {tokens:,}" if incomplete else tokens


def lower_bound(incomplete: int) -> str:
    """Return in words what the lower bounds of some incomplete runs mean."""
    runs = "1 run" if incomplete == 1 else f"{incomplete:,} runs"
    return f"≥ is at least: the final token usage of {runs} is missing."


def moment(text: "str | None") -> str:
    """Return a timestamp for people: to the second, UTC."""
    if text is None:
        return "-"
    return format_timestamp(parse_timestamp(text))[:19].replace("T", " ")


def percent(share: "float | None") -> str:
    """Return a share of 0 to 1 as a percentage, a dash where there is none."""
    return "-" if share is None else f"{share * 100:.1f}%"


def seconds(duration: float) -> str:
    """Return a duration in a unit that suits it: `0.25s`, `45.2s`, `3m 05s`, `2h 10m`."""
    if duration < 9.995:
        return f"{duration:.2f}s"
    if duration < 99.95:
        return f"{duration:.1f}s"
    minutes, rest = divmod(round(duration), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m" if hours else f"{minutes}m {rest:02d}s"


def left(until: str, now: float) -> str:
    """Return how long it is until a timestamp."""
    return seconds(max(0.0, parse_timestamp(until) - now))


def shown_permit(permit: "dict[str, Any]") -> str:
    """Return in words which task is the probe."""
    task = f"task {permit['task_id']}, " if permit.get("task_id") else ""
    process = f"process {permit['owner'].get('pid')}, " if permit.get("owner") else ""
    return f"{task}{process}since {moment(permit['granted'])} UTC"


def shown_override(override: "dict[str, Any]") -> str:
    """Return in words what a person has ordered."""
    until = f" until {moment(override['until'])} UTC" if override.get("until") else ""
    reason = f": {override['reason']}" if override.get("reason") else ""
    return f"{override['kind'].replace('_', ' ')}{until}{reason}"
