"""The report over a document in Markdown. What matters comes first. Pure."""

import re

from otel_tracker import names
from otel_tracker.reporting import summary, wording
from otel_tracker.runtime.printable import columns, printable
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.state.document import Document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otel_tracker.reporting.attention import Attention
    from otel_tracker.state.shapes import Row

TOKENS_BY_MODEL = ("Model", "Tokens", "Cost", "Tasks", "Measured", "Tokens per measured task")


def report(document: Document, now: float, attention: "Sequence[Attention]") -> str:
    """Return the report in Markdown; `attention` is what needs it."""
    agents = summary.agent_states(document, now)
    shown = *_system(document), *_tokens(document), *_agents(agents, summary.total(document))
    parts = [beginning(document, now, attention), *shown]
    return "\n\n".join(parts) + "\n"


def beginning(document: Document, now: float, attention: "Sequence[Attention]") -> str:
    """Return how each report begins: with what it is, what needs attention, and the agents that are refused."""
    parts = [
        "# Agent Metrics Report",
        f"Generated {wording.moment(format_timestamp(now))} UTC · format {document.head['version']}",
        "## Needs attention",
        "\n".join(map(_item, attention)) or "Nothing needs attention.",
        *_blacklisted(summary.agent_states(document, now), now),
    ]
    return "\n\n".join(parts)


def _item(item: "Attention") -> str:
    """Return something that needs attention as an item of a list."""
    about = "" if item.agent is None else f"{escape(item.agent)}: "
    remedy = "" if item.remedy is None else f" ({escape(item.remedy)})"
    return f"- **{item.severity}** {about}{escape(item.text)}{remedy}"


def _blacklisted(agents: "list[Row]", now: float) -> "list[str]":
    rows = [
        (row["agent_file"], _refusal(row, now), row["failures"], wording.moment(row["last_failure"]))
        for row in agents
        if row["state"] != names.CLOSED or row["override"]
    ]
    if not rows:
        return ["## Blacklisted", "No agent is blacklisted."]
    return ["## Blacklisted", table(("Agent", "Until (UTC)", "Failures in a row", "Last failure (UTC)"), rows, "lrrr")]


def _refusal(row: "Row", now: float) -> str:
    """Return in words until when, or by which order, an agent is refused."""
    if row["override"]:
        return wording.shown_override(row["override"])
    if row["permit"]:
        return f"a probe is running: {wording.shown_permit(row['permit'])}"
    if row["state"] == names.HALF_OPEN:
        return "cooldown over: the next task decides"
    return f"{wording.moment(row['blacklisted_until'])} (in {wording.left(row['blacklisted_until'], now)})"


def _system(document: Document) -> "list[str]":
    metrics = summary.system_metrics(document)
    rows = [
        ("Agents", metrics["total_agents"]),
        ("Tasks", metrics["total_requests"]),
        ("Successful", metrics["successful"]),
        ("Failed", metrics["failed"]),
        ("Cancelled", metrics["cancelled"]),
        ("Success rate", wording.percent(metrics["success_rate"])),
        ("Running now", len(document.head["in_flight"])),
        ("Breakers opened", metrics["circuit_breaks"]),
        ("Fallbacks used", metrics["fallback_used"]),
        *_all_used(document),
    ]
    return ["## System", table(("Metric", "Value"), rows, "lr")]


def _all_used(document: Document) -> "list[tuple[str, object]]":
    """Return the rows of what agents and main conversations have used together, and of the latter's part."""
    total, main = summary.total(document), summary.main_conversation(document)
    incomplete = _incomplete(document) + main["usage_incomplete"]
    rows: list[tuple[str, object]] = [
        ("Tokens", wording.at_least(total["tokens"], incomplete)),
        ("Cost", wording.cost(total, is_lower_bound=bool(incomplete))),
    ]
    if main["total"]:
        share = wording.share(main, total)
        cost = wording.cost(main, is_lower_bound=bool(main["usage_incomplete"]))
        rows.append((wording.MAIN.capitalize(), cost if share is None else f"{cost} ({wording.percent(share)})"))
    return rows


def _tokens(document: Document) -> "list[str]":
    shown = table(TOKENS_BY_MODEL, tokens_by_model(document), "lrrrrr")
    notes = [escape(note) for note in notes_of(document)]
    return ["## Tokens by model", shown, *([" ".join(notes)] if notes else [])]


def tokens_by_model(document: Document) -> "list[tuple[object, ...]]":
    """Return the rows of a table of tokens by model, with the headings TOKENS_BY_MODEL."""
    return [
        (
            model,
            wording.shown_tokens(row["total"], row["usage_incomplete"], row),
            wording.cost(row, is_lower_bound=bool(row["usage_incomplete"])),
            row["count"],
            "-" if row["measured"] is None else row["measured"],
            "-" if row["avg"] is None else wording.at_least(round(row["avg"]), row["usage_incomplete"]),
        )
        for model, row in summary.token_summary(document).items()
    ] + _of_main_conversation(document)


def _of_main_conversation(document: Document) -> "list[tuple[object, ...]]":
    main = summary.main_conversation(document)
    if not main["total"]:
        return []
    tokens, is_incomplete = wording.at_least(main["total"], main["usage_incomplete"]), bool(main["usage_incomplete"])
    return [(wording.MAIN, tokens, wording.cost(main, is_lower_bound=is_incomplete), "-", "-", "-")]


def notes_of(document: Document) -> "list[str]":
    """Return the sentences that explain the tokens and the costs of a document."""
    main, incomplete = summary.main_conversation(document), _incomplete(document)
    unpriced = summary.unpriced_models(*document.agents.values(), main)
    of_costs, turns = wording.about_costs(summary.total(document)["cost_usd"], unpriced), main["usage_incomplete"]
    return [*of_costs, *([wording.lower_bound(incomplete, turns)] if incomplete or turns else [])]


def _incomplete(document: Document) -> int:
    return sum(agent["tallies"]["usage_incomplete"] for agent in document.agents.values())


def _agents(agents: "list[Row]", total: "Row") -> "list[str]":
    """Return the section of the agents; `total` is the cost that their shares are of."""
    used = [row for row in agents if row["metrics"]["tasks_total"] or row["in_flight"] or row["state"] != names.CLOSED]
    used.sort(key=lambda row: (-row["metrics"]["tasks_total"], row["agent_file"]))
    if not used:
        return [
            "## Agents",
            f"{wording.counted(len(agents), 'agent is', 'agents are')} registered; none has run a task yet.",
        ]
    rows = [
        (
            row["agent_file"],
            row["status"],
            row["metrics"]["tasks_total"],
            wording.percent(row["success_rate"]),
            row["metrics"]["tasks_failed"],
            row["metrics"]["tasks_cancelled"],
            wording.seconds(row["metrics"]["avg_duration_seconds"]) if row["metrics"]["tasks_total"] else "-",
            wording.shown_tokens(
                sum(tokens["total"] for tokens in row["token_usage"].values()),
                row["usage_incomplete"],
                *row["token_usage"].values(),
            ),
            wording.cost(row, is_lower_bound=bool(row["usage_incomplete"])),
            wording.percent(wording.share(row, total)),
            wording.moment(row["metrics"]["last_task_timestamp"]),
        )
        for row in used
    ]
    headings = (
        *("Agent", "Status", "Tasks", "Success", "Failed", "Cancelled", "Average", "Tokens", "Cost", "Share"),
        "Last task (UTC)",
    )
    idle = len(agents) - len(used)
    note = (
        [f"{wording.counted(idle, 'more registered agent has', 'more registered agents have')} not run a task yet."]
        if idle
        else []
    )
    return ["## Agents", table(headings, rows, "llrrrrrrrrr"), *note]


def table(headings: "Sequence[str]", rows: "Iterable[Sequence[object]]", alignment: str) -> str:
    """Return a Markdown table, aligned to be read as text; `alignment` has a letter for each column: l or r."""
    cells = [[str(heading) for heading in headings], *([escape(cell) for cell in row] for row in rows)]
    widths = [max(4, *map(columns, column)) for column in zip(*cells, strict=True)]
    rule = [":" + "-" * (w - 1) if to == "l" else "-" * (w - 1) + ":" for w, to in zip(widths, alignment, strict=True)]
    lines = [cells[0], rule, *cells[1:]]
    return "\n".join("| " + " | ".join(wording.padded(line, widths, alignment)) + " |" for line in lines)


def escape(value: object) -> str:
    """Return a value as the text of a Markdown table's cell; numbers with thousands separated."""
    if isinstance(value, int):
        return f"{value:,}"
    text = re.sub(r"([\\`*_\[\]<>|])", r"\\\1", printable(" ".join(str(value).split())))
    # An underscore inside a word doesn't start emphasis, and agent files are full of them.
    return re.sub(r"(?<=\w)\\_(?=\w)", "_", text)
