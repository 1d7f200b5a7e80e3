"""The words and figures that reports, commands and refusals show to people. Pure."""

from otel_tracker import names
from otel_tracker.reporting import summary
from otel_tracker.runtime.printable import columns, printable
from otel_tracker.runtime.timestamps import format_timestamp, parse_timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_tracker.state.breaker import Answer
    from otel_tracker.state.shapes import Row


MAIN = "main conversation"
"""What rows are called that are no agent's."""


def padded(line: "Sequence[str]", widths: "Sequence[int]", alignment: str) -> "list[str]":
    """Return the cells of a line, each as wide as its column."""
    shown = zip(line, widths, alignment, strict=True)
    return [_filled(cell, " " * (width - columns(cell)), to) for cell, width, to in shown]


def _filled(cell: str, space: str, to: str) -> str:
    return cell + space if to == "l" else space + cell


def shown_tokens(tokens: int, incomplete: "object", *uses: "Row") -> "int | str":
    """Return tokens as they are shown: marked as lower bounds if `incomplete`, a dash if those of all `uses` are unknown."""
    return "-" if summary.is_unmeasured(*uses) else at_least(tokens, incomplete)


def at_least(tokens: int, incomplete: "object") -> "int | str":
    """Return tokens as they are shown: marked as a lower bound if the final usage of some run is missing."""
    return f"≥ {tokens:,}" if incomplete else tokens


def lower_bound(incomplete: int, turns: int = 0) -> str:
    """Return the sentence that explains lower bounds, for a number of incomplete runs, and of turns of main conversations."""
    of_runs = [counted(incomplete, "run", "runs")] if incomplete else []
    of_turns = [f"{counted(turns, 'turn', 'turns')} of a {MAIN}"] if turns else []
    return f"≥ is at least: the final token usage of {' and '.join(of_runs + of_turns)} is missing."


def counted(number: int, one: str, several: str) -> str:
    """Return a number with the words for one thing, or for several: `1 run`, `1,200 runs`."""
    return f"{number:,} {one if number == 1 else several}"


def cut(text: str, most: int) -> str:
    """Return a text of at most `most` characters; one that is cut ends with an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


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


def ago(text: "str | None", now: float) -> str:
    """Return in one unit how long ago a moment was: `now`, `45s ago`, `12m ago`, `3h ago`, `5d ago`; a dash where there is none."""
    if text is None:
        return "-"
    passed = now - parse_timestamp(text)
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        if passed >= length:
            return f"{int(passed // length)}{unit} ago"
    return "now"


def dollars(cost: float) -> str:
    """Return dollars with cents, what is less than a cent to the micro-dollar: `$1,234.57`, `$0.0012`."""
    return f"${cost:,.2f}" if abs(cost) >= 0.01 or not cost else f"${cost:.6f}".rstrip("0")


def cost(row: "Row", *, is_lower_bound: bool = False) -> str:
    """Return the cost in a row with `cost_usd` and `unpriced_tokens` as it is shown: never 0 for tokens without a price."""
    if not row["cost_usd"]:
        return "unpriced" if row["unpriced_tokens"] else "-"
    return f"{'≥ ' if is_lower_bound or row['unpriced_tokens'] else ''}{dollars(row['cost_usd'])}"


def share(part: "Row", whole: "Row") -> "float | None":
    """Return the part of a cost in that of the whole, 0 to 1; None where the whole has none."""
    return (part["cost_usd"] or 0.0) / whole["cost_usd"] if whole["cost_usd"] else None


def about_costs(is_priced: "object", unpriced: "Mapping[str, int]") -> "list[str]":
    """Return the sentences that explain costs, if any are shown, and name the models of tokens without a price."""
    notes = ["Costs are estimated by list prices."] if is_priced else []
    if unpriced:
        models = ", ".join(f"{printable(model)} ({tokens:,} tokens)" for model, tokens in unpriced.items())
        notes.append(f"Without a price: {models}.")
    return notes


def left(until: str, now: float) -> str:
    """Return the time left until a timestamp."""
    return seconds(max(0.0, parse_timestamp(until) - now))


def shown_permit(permit: "Row") -> str:
    """Return in words which task is the probe."""
    task = f"task {permit['task_id']}, " if permit.get("task_id") else ""
    process = f"process {permit['owner'].get('pid')}, " if permit.get("owner") else ""
    return f"{task}{process}since {moment(permit['granted'])} UTC"


def reason_of(answer: "Answer") -> str:
    """Return in words why a breaker answers as it does, empty where it has no reason to give."""
    if answer.reason == names.FAILURES:
        return names.failures_in_a_row(answer.failures)
    if answer.reason == names.PROBE_RUNNING:
        return "a probe is running"
    override = (answer.reason or "").replace("_", " ")
    return f"{override}: {answer.note}" if answer.note else override


def shown_override(override: "Row") -> str:
    """Return a person's order in words."""
    until = f" until {moment(override['until'])} UTC" if override.get("until") else ""
    reason = f": {override['reason']}" if override.get("reason") else ""
    return f"{override['kind'].replace('_', ' ')}{until}{reason}"
