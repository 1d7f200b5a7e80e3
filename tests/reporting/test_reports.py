import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_tracker import names
from otel_tracker.reporting import markdown, summary, wording
from otel_tracker.reporting.attention import CRITICAL, INFO, Attention
from otel_tracker.runtime.printable import columns
from otel_tracker.state.document import Document, new_document
from tests.builders import AGENT, NOON, about, any_event, document_of, end, folded, moment, start, usage

FAILURE = names.FAILURE
HEADINGS = ["## Needs attention", "## Blacklisted", "## System", "## Tokens by model", "## Agents"]


def lines_of(document: Document, after: float = 0.0) -> list[str]:
    return markdown.report(document, NOON + after, []).splitlines()


def cells(line: str) -> list[str]:
    """Split a row as GitHub's Markdown does: a pipe that a backslash escapes is text."""
    return [cell.strip() for cell in re.findall(r"((?:\\.|[^|\\])+)\|", line.removeprefix("|"))]


def rows(document: Document, heading: str, after: float = 0.0) -> list[list[str]]:
    """Return the rows of the table under a heading, without its own headings."""
    lines = lines_of(document, after)
    below = lines[lines.index(heading) + 2 :]
    table = below[: below.index("")] if "" in below else below
    return [cells(line) for line in table[2:]]


def test_the_json_report_has_what_its_readers_rely_on() -> None:
    document = folded(start("r0"), end("r1", tokens={"output": 5}), end("r2", FAILURE, agent="x.md"))
    data = summary.report(document, NOON + 0.5, [])
    of_all = ["system", "tokens", "main_conversation", "total"]
    assert list(data) == ["generated_at", "version", "attention", *of_all, "leaderboard", "agents"]
    assert (data["generated_at"], data["version"]) == ("2026-02-15T12:00:00.500000Z", "7.0")
    assert data["system"]["total_requests"] == 2
    assert data["tokens"]["sonnet"]["total"] == 5
    assert {row["agent_file"] for row in data["leaderboard"]} == set(data["agents"]) == {AGENT, "x.md"}
    assert (data["agents"][AGENT]["state"], data["agents"][AGENT]["in_flight"]) == ("closed", 1)
    assert json.loads(json.dumps(data)) == data


def test_the_json_reports_leaderboard_has_ten_agents_and_the_report_all() -> None:
    data = summary.report(folded(*(end(f"r{n}", agent=f"{n}.md") for n in range(12))), NOON, [])
    assert (len(data["leaderboard"]), len(data["agents"])) == (10, 12)


def test_the_markdown_report_begins_with_what_needs_attention() -> None:
    items = [
        Attention(CRITICAL, "a_b*.md", "blacklisted: <b>|", None, "otel-tracker reset"),
        Attention(INFO, None, "x"),
    ]
    shown = markdown.report(new_document(), NOON, items)
    assert shown.split("\n\n")[3] == (
        "- **critical** a_b\\*.md: blacklisted: \\<b\\>\\| (otel-tracker reset)\n- **info** x"
    )
    assert markdown.report(new_document(), NOON, []).split("\n\n")[3] == "Nothing needs attention."


def test_the_markdown_report_begins_with_what_is_blacklisted() -> None:
    lines = lines_of(folded(end()))
    assert [line for line in lines if line.startswith("## ")] == HEADINGS
    assert lines[0] == "# Agent Metrics Report"
    assert lines[2] == "Generated 2026-02-15 12:00:00 UTC · format 7.0"
    assert lines[lines.index("## Blacklisted") + 2] == "No agent is blacklisted."


def test_the_blacklisted_section_says_until_when_and_why() -> None:
    document = folded(*(end(f"r{n}", FAILURE) for n in range(5)), end("fine", agent="fine.md"))
    assert rows(document, "## Blacklisted", after=120) == [
        [AGENT, "2026-02-15 12:11:00 (in 9m 00s)", "5", "2026-02-15 12:01:00"]
    ]


def test_an_agent_whose_cooldown_is_over_is_on_probation_below_those_that_are_refused() -> None:
    failed = {"status": "blacklisted", "failures": 5, "last_failure": None}
    document = document_of(
        {
            "agents": {
                "a.md": {**failed, "blacklisted_until": moment(-1)},
                "b.md": {**failed, "blacklisted_until": moment(60)},
            }
        }
    )
    shown = rows(document, "## Blacklisted")
    assert [row[0] for row in shown] == ["b.md", "a.md"]
    assert shown[1][1:] == ["cooldown over: the next task decides", "5", "-"]


def test_an_order_and_a_running_probe_stand_in_the_place_of_the_cooldown() -> None:
    override = {"kind": "forced_open", "until": moment(3600), "reason": "maintenance"}
    permit = {"permit": "p", "expires": moment(1700), "task_id": "fix-1", "owner": {"pid": 7}}
    document = folded(
        *(end(f"{agent}-{n}", FAILURE, agent=agent) for agent in ("on_probation.md", "a.md") for n in range(5)),
        about(names.PROBE_GRANTED, 800, "on_probation.md", **permit),
        about(names.BREAKER_OVERRIDE, 800, "healthy.md", override=override),
    )
    assert [row[:2] for row in rows(document, "## Blacklisted", after=120)] == [
        ["a.md", "2026-02-15 12:11:00 (in 9m 00s)"],
        ["healthy.md", "forced open until 2026-02-15 13:00:00 UTC: maintenance"],
        ["on_probation.md", "a probe is running: task fix-1, process 7, since 2026-02-15 12:13:20 UTC"],
    ]


def test_the_system_section_has_the_counters() -> None:
    document = folded(end("r1"), end("r2", FAILURE), end("r3", names.CANCELLED), start("r4"))
    assert dict(rows(document, "## System")) == {
        "Agents": "1",
        "Tasks": "3",
        "Successful": "1",
        "Failed": "1",
        "Cancelled": "1",
        "Success rate": "50.0%",
        "Running now": "1",
        "Breakers opened": "0",
        "Fallbacks used": "0",
        "Tokens": "0",
        "Cost": "-",
    }


def test_the_token_section_has_every_model() -> None:
    document = folded(end("r1", tokens={"untyped": 1500}), end("r2"), end("r3", model="gpt-5", tokens={"output": 7}))
    assert rows(document, "## Tokens by model") == [
        ["haiku", "-", "-", "0", "0", "-"],
        ["sonnet", "1,500", "unpriced", "2", "1", "1,500"],
        ["opus", "-", "-", "0", "0", "-"],
        ["gpt-5", "7", "unpriced", "1", "1", "7"],
    ]


def priced(number: int, micro_dollars: int) -> dict[str, int]:
    return {"output": number, names.PRICED: number, names.COST: micro_dollars}


def test_costs_are_estimates_of_list_prices_and_at_least_where_some_have_none() -> None:
    next_model: dict[str, Any] = {"tokens": {"output": 7}, "models": {"claude-opus-9": {"output": 7}}, "model": None}
    document = folded(
        end("r1", tokens=priced(1000, 1_234_567)),
        end("r2", tokens={"untyped": 5}),
        end("r3", agent="b.md", model=None, tokens=priced(9, 900), models={"claude-haiku-4-5": priced(9, 900)}),
        end("r4", agent="c.md", **next_model),
    )
    assert {row[0]: row[2] for row in rows(document, "## Tokens by model")} == {
        "haiku": "$0.0009",
        "sonnet": "≥ $1.23",
        "opus": "unpriced",
    }
    assert {row[0]: row[-3:-1] for row in rows(document, "## Agents")} == {
        AGENT: ["≥ $1.23", "99.9%"],
        "b.md": ["$0.0009", "0.1%"],
        "c.md": ["unpriced", "0.0%"],
    }
    assert dict(rows(document, "## System"))["Cost"] == "≥ $1.24"
    (note,) = [line for line in lines_of(document) if line.startswith("Costs are")]
    assert "Without a price: claude-opus-9 (7 tokens), sonnet (5 tokens)." in note
    data = summary.report(document, NOON, [])
    of_all = {"cost_usd": 1.235467, "unpriced_tokens": 12, "unpriced_models": ["claude-opus-9", "sonnet"]}
    assert {key: data["system"][key] for key in of_all} == of_all
    of_opus = {"cost_usd": None, "unpriced_tokens": 7, "unpriced_models": ["claude-opus-9"]}
    assert [{key: each[key] for key in of_opus} for each in (data["tokens"]["opus"], data["agents"]["c.md"])] == [
        of_opus,
        of_opus,
    ]
    ranked = summary.leaderboard(document, "cost_usd")
    assert [(row["agent_file"], row["cost_usd"]) for row in ranked] == [
        (AGENT, 1.234567),
        ("b.md", 0.0009),
        ("c.md", None),
    ]


def test_the_report_says_how_much_the_main_conversation_has_used_of_all() -> None:
    fable: dict[str, Any] = {"claude-fable-5": {"output": 5}}
    document = folded(
        end("r1", tokens=priced(1000, 250_000)),
        usage(models={"claude-opus-5-5": priced(300, 700_000)}),
        usage(120, models={"claude-opus-5-4": priced(4, 50_000), **fable}, usage_incomplete=True),
    )
    shown = dict(rows(document, "## System"))
    assert (shown["Tokens"], shown["Cost"]) == ("≥ 1,309", "≥ $1.00")
    assert shown["Main conversation"] == "≥ $0.75 (75.0%)"
    assert [row[-2] for row in rows(document, "## Agents")] == ["25.0%"]
    assert rows(document, "## Tokens by model")[-1] == ["main conversation", "≥ 309", "≥ $0.75", "-", "-", "-"]
    (note,) = [line for line in lines_of(document) if line.startswith("Costs are")]
    assert "Without a price: claude-fable-5 (5 tokens)." in note
    assert "≥ is at least: the final token usage of 1 turn of a main conversation is missing." in note
    data = summary.report(document, NOON, [])
    costs = {"cost_usd": 1.0, "unpriced_tokens": 5, "unpriced_models": ["claude-fable-5"]}
    assert data["total"] == {"tokens": 1309, **costs}
    main = data["main_conversation"]
    assert (main["total"], main["cost_usd"], main["since"], main["usage_incomplete"]) == (309, 0.75, moment(-60), 1)
    assert {model: use["total"] for model, use in main["token_usage"].items()} == {
        "haiku": 0,
        "sonnet": 0,
        "opus": 304,
        "fable": 5,
    }
    assert data["system"]["cost_usd"] == 0.25
    assert "opus" not in {model for model, row in data["tokens"].items() if row["total"]}


def test_totals_that_lack_a_runs_final_usage_are_shown_as_at_least() -> None:
    document = folded(
        end("r1", tokens={"output": 10500}, usage_incomplete=True),
        end("r2", agent="b.md", model="opus", tokens={"output": 2000}),
    )
    assert rows(document, "## Tokens by model")[1:3] == [
        ["sonnet", "≥ 10,500", "unpriced", "1", "1", "≥ 10,500"],
        ["opus", "2,000", "unpriced", "1", "1", "2,000"],
    ]
    assert [row[-4] for row in rows(document, "## Agents")] == ["2,000", "≥ 10,500"]
    assert any(
        line.endswith("≥ is at least: the final token usage of 1 run is missing.") for line in lines_of(document)
    )
    data = summary.report(document, NOON, [])
    assert (data["tokens"]["sonnet"]["usage_incomplete"], data["agents"]["b.md"]["usage_incomplete"]) == (1, 0)
    assert data["agents"][AGENT]["token_usage"]["sonnet"]["output"] == 10500


def test_the_agents_section_begins_with_the_busiest_and_counts_the_idle_ones() -> None:
    document = folded(
        end("r1", agent="b.md"),
        end("r2", duration_seconds=125, tokens={"untyped": 2000}),
        end("r3", FAILURE, duration_seconds=125, after=90),
        start("r4", agent="a.md"),
        about(names.AGENT_REGISTERED, agent="idle.md", name="Idle"),
    )
    shown = rows(document, "## Agents")
    assert [row[0] for row in shown] == [AGENT, "b.md", "a.md"]
    first = ["healthy", "2", "50.0%", "1", "0", "2m 05s", "2,000", "unpriced", "-", "2026-02-15 12:01:30"]
    assert shown[0][1:] == first
    assert shown[2][1:] == ["healthy", "0", "-", "0", "0", "-", "-", "-", "-", "-"]
    assert lines_of(document)[-1] == "1 more registered agent has not run a task yet."


def test_a_report_of_nothing_is_a_report() -> None:
    assert [line for line in lines_of(new_document()) if line.startswith("## ")] == HEADINGS
    assert lines_of(new_document())[-1] == "0 agents are registered; none has run a task yet."


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("core/coder.md", "core/coder.md"),
        ("database_expert.md", "database_expert.md"),
        ("a|b", r"a\|b"),
        ("`rm`", r"\`rm\`"),
        ("two\nlines\r\n and\ttabs", "two lines and tabs"),
        ("[text](http://x)", r"\[text\](http://x)"),
        ("<script>", r"\<script\>"),
        ("*bold* _thin_", r"\*bold\* \_thin\_"),
        ("back\\slash", r"back\\slash"),
        ("ends with \\", r"ends with \\"),
        ("a\\|b", r"a\\\|b"),
        ("para\u2029graph\x85s", "para graph s"),
        (1234567, "1,234,567"),
    ],
)
def test_what_markdown_would_interpret_is_escaped_in_a_cell(name: object, cell: str) -> None:
    assert markdown.escape(name) == cell
    assert cells(markdown.table(("Name", "Next"), [(name, "x")], "ll").splitlines()[2]) == [cell, "x"]


@settings(max_examples=50)
@given(st.lists(st.text(max_size=12) | st.sampled_from(["|", "\\", "\\|", "`", "\n"]), min_size=1, max_size=4))
def test_no_agents_name_breaks_a_table(agents: list[str]) -> None:
    failing = [end(f"{agent} {n}", FAILURE, agent=agent) for agent in agents for n in range(2)]
    document = folded(*failing, into=document_of(failure_threshold=2))
    assert [len(row) for row in rows(document, "## Blacklisted", after=61)] == [4] * len(set(agents))
    assert [len(row) for row in rows(document, "## Agents", after=61)] == [11] * len(set(agents))


@settings(max_examples=50)
@given(st.lists(any_event, max_size=15), st.floats(-1e6, 1e6))
def test_any_document_has_both_reports(events: list[dict[str, object]], after: float) -> None:
    document = folded(*events)
    assert [line for line in lines_of(document, after) if line.startswith("## ")] == HEADINGS
    json.dumps(summary.report(document, NOON + after, []), allow_nan=False)


def test_the_columns_of_a_table_are_as_wide_as_their_widest_cell() -> None:
    assert markdown.table(("Agent", "Tasks"), [("a.md", 1), ("much/longer.md", 12345)], "lr").splitlines() == [
        "| Agent          |  Tasks |",
        "| :------------- | -----: |",
        "| a.md           |      1 |",
        "| much/longer.md | 12,345 |",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.00s"), (0.25, "0.25s"), (45.2, "45.2s"), (185, "3m 05s"), (3599.6, "1h 00m"), (7800, "2h 10m")],
)
def test_a_duration_is_shown_in_a_unit_that_suits_it(seconds: float, text: str) -> None:
    assert wording.seconds(seconds) == text


def test_shares_and_moments_that_are_missing_are_a_dash() -> None:
    assert (wording.percent(None), wording.moment(None)) == ("-", "-")
    assert (wording.percent(1 / 3), wording.moment("2026-02-15T21:30:00.999+01:00")) == ("33.3%", "2026-02-15 20:30:00")


def test_columns_line_up_in_a_terminal_where_letters_are_wide_or_combine() -> None:
    table = markdown.table(
        ("Agent", "Tasks"), [("core/日本.md", 1), ("core/cafe\u0301.md", 2), ("core/coder.md", 3)], "lr"
    )
    ends = [columns(line[: line.rindex("|", 0, -1)]) for line in table.splitlines()]
    assert len(set(ends)) == 1
