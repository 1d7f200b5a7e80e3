"""`otel-tracker report`, `leaderboard`, `agent` and `tokens`: what agents have done, and what it has cost."""

import sys
import time

from otel_tracker import names
from otel_tracker.cli.attention import attention_of
from otel_tracker.cli.stores import store_of, tracker_of
from otel_tracker.cli.terminal import (
    as_json,
    is_standard_output,
    plain,
    print_data,
    print_json,
    print_table,
    shown_state,
)
from otel_tracker.cli.usage import has_window, print_sums, sums_of, with_rows
from otel_tracker.reporting import markdown, summary, wording
from otel_tracker.reporting.usage_views import ranked, rendered, report_of_window
from otel_tracker.storage.files import Files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from otel_tracker.state.shapes import Row


def report(options: "Namespace") -> int:
    """Print the report, or write it to a file."""
    store, now = store_of(options), time.time()
    document, is_json = store.read(), options.format == "json"
    if is_json and has_window(options):
        text = rendered(sums_of(options, "agent"), "json", 0)
    elif options.format == "html":
        from otel_tracker.cli.page import report_in_html  # here: the other formats need no templates

        text = report_in_html(store, options)
    elif is_json:
        items = [item._asdict() for item in attention_of(store, document, now)]
        text = as_json(summary.report(document, now, items))
    elif has_window(options):
        text = report_of_window(document, now, attention_of(store, document, now), sums_of(options, "agent"))
    else:
        text = markdown.report(document, now, attention_of(store, document, now))
    if not is_standard_output(options.output):
        Files().export(options.output, text.encode())
        print(f"wrote {plain(options.output)}")
    elif options.format != "markdown":
        print_data(text)
    else:
        sys.stdout.write(text)
    return 0


def leaderboard(options: "Namespace") -> int:
    """Print agents by a metric."""
    if has_window(options):
        comparison = sums_of(options, "agent")
        rows = ranked(comparison.usage.rows, options.metric)
        return print_sums(with_rows(comparison, rows, options.number), options.format)
    document = store_of(options).read()
    rows = summary.leaderboard(document, options.metric, options.number)
    if options.format == "json":
        print_json(rows)
        return 0
    shown = [
        (
            rank,
            row["agent_file"],
            row["agent_name"],
            _measure(options.metric, row),
            row["tasks_total"],
            wording.percent(row["success_rate"]),
        )
        for rank, row in enumerate(rows, 1)
    ]
    print_table(("#", "Agent", "Name", options.metric, "Tasks", "Success"), shown, "rllrrr")
    if options.metric == "cost_usd":
        _explain(
            wording.about_costs(
                any(row["cost_usd"] for row in rows), summary.unpriced_models(*document.agents.values())
            )
        )
    return 0


def agent(options: "Namespace") -> int:
    """Print the counts, tokens and breaker of one agent."""
    row = tracker_of(options).get_agent_metrics(options.agent)
    if options.format == "json":
        print_json(row)
        return 0
    print(f"{plain(row['agent_file'])} ({plain(row['agent_name'])})")
    print(f"breaker: {shown_state(row)}")
    metrics = row["metrics"]
    print(
        f"tasks: {metrics['tasks_total']:,}, {metrics['tasks_successful']:,} successful "
        f"({wording.percent(row['success_rate'])}), {metrics['tasks_failed']:,} failed, "
        f"{metrics['tasks_cancelled']:,} cancelled, {row['in_flight']:,} running"
    )
    average, total = metrics["avg_duration_seconds"], metrics["total_duration_seconds"]
    print(f"duration: {wording.seconds(average)} on average, {wording.seconds(total)} in all")
    first, last = metrics["first_task_timestamp"], metrics["last_task_timestamp"]
    print(f"first task: {wording.moment(first)} UTC, last task: {wording.moment(last)} UTC\n")
    tokens = [
        (
            model,
            wording.shown_tokens(use["total"], row["usage_incomplete"] and use["count"], use),
            wording.cost(summary.cost_of(use), is_lower_bound=bool(row["usage_incomplete"] and use["count"])),
            use["last"],
            use["count"],
            use["measured"],
            *(None if summary.is_unmeasured(use) else use.get(token_type) for token_type in names.TOKEN_KEYS),
        )
        for model, use in row["token_usage"].items()
    ]
    print_table(
        ("Model", "Tokens", "Cost", "Last", "Tasks", "Measured", *names.TOKEN_KEYS),
        tokens,
        "lrrrrr" + "r" * len(names.TOKEN_KEYS),
    )
    notes = wording.about_costs(row["cost_usd"], summary.unpriced_models(row))
    _explain([*notes, *([wording.lower_bound(row["usage_incomplete"])] if row["usage_incomplete"] else [])])
    return 0


def tokens(options: "Namespace") -> int:
    """Print tokens by model."""
    if has_window(options):
        return print_sums(sums_of(options, "model"), options.format)
    document = store_of(options).read()
    if options.format == "json":
        main = summary.main_conversation(document)
        print_json({**summary.token_summary(document), **({wording.MAIN: main} if main["total"] else {})})
        return 0
    print_table(markdown.TOKENS_BY_MODEL, markdown.tokens_by_model(document), "lrrrrr")
    _explain(markdown.notes_of(document))
    return 0


def _explain(notes: "list[str]") -> None:
    """Print the sentences that explain a table's figures."""
    if notes:
        print(f"\n{' '.join(map(plain, notes))}")


def _measure(metric: str, row: "Row") -> str:
    if metric.endswith("_seconds"):
        return wording.seconds(row[metric])
    if metric == "cost_usd":
        return wording.cost(row, is_lower_bound=bool(row["usage_incomplete"]))
    if metric != "tokens_total":
        return plain(row[metric])
    return "-" if row["is_unmeasured"] else plain(wording.at_least(row[metric], row["usage_incomplete"]))
