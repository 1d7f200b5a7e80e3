"""The transcripts of Claude Code's sub-agents: their tokens, how they end, where they are, what their parent's says."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from otel_tracker import names
from otel_tracker.integrations.claude_code.transcripts import lines, notification, parent, places, transcript_reader
from otel_tracker.integrations.claude_code.transcripts.ending import (
    AFTER_TOOL,
    API_ERROR,
    CLEAN,
    EMPTY,
    INTERRUPTED,
    MID_TOOL,
    UNANSWERED,
)
from otel_tracker.integrations.claude_code.transcripts.notification import MARK, notifications_in
from otel_tracker.integrations.claude_code.transcripts.parent import Evidence, evidence
from otel_tracker.integrations.claude_code.transcripts.transcript import Transcript
from otel_tracker.integrations.claude_code.transcripts.transcript_reader import read_transcript
from otel_tracker.names import UNANSWERED_BECAUSE
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.price_file import price_table

Record = dict[str, Any]

AGENT, TOOL = "a4d2c8f1e0b3a297", "toolu_01ABC123"
SONNET, HAIKU = "claude-sonnet-5", "claude-haiku-4-5"
INTERRUPTION = "[Request interrupted by user]"
DENIED = {"toolDenialKind": "user-rejected", "toolUseResult": "User rejected tool use"}


def at(second: int) -> str:
    return f"2026-08-10T12:{second // 60:02}:{second % 60:02}.000Z"


def usage(read: int = 4, out: int = 1, cache_read: int = 15000, cache_write: int = 1200) -> Record:
    return {
        "input_tokens": read,
        "output_tokens": out,
        "cache_read_input_tokens": cache_read,
        "cache_creation_input_tokens": cache_write,
        "cache_creation": {"ephemeral_5m_input_tokens": cache_write, "ephemeral_1h_input_tokens": 0},
        "output_tokens_details": {"thinking_tokens": 0},
        "service_tier": "standard",
    }


def said(text: str = "Done.") -> Record:
    return {"type": "text", "text": text}


def called(tool: str = "toolu_1") -> Record:
    return {"type": "tool_use", "id": tool, "name": "Bash", "input": {}}


def answer(*blocks: Record, message: Any = "msg_1", request: Any = "req_1", **other: Any) -> Record:
    """Return a record of an answer; `other` are fields of the record, those with `m_` of its message."""
    inner = {key[2:]: value for key, value in other.items() if key.startswith("m_")}
    outer = {key: value for key, value in other.items() if not key.startswith("m_")}
    content = list(blocks) or [said()]
    body = {"id": message, "role": "assistant", "model": SONNET, "content": content, "stop_reason": "end_turn"}
    return {
        "type": "assistant",
        "isSidechain": True,
        "agentId": AGENT,
        "timestamp": at(10),
        "version": "2.1.226",
        "requestId": request,
        "message": {**body, "usage": usage(), **inner},
        **outer,
    }


def synthetic(text: str, **other: Any) -> Record:
    return answer(said(text), message="synthetic", m_model="<synthetic>", m_usage=usage(0, 0, 0, 0), **other)


def prompt(text: Any = "Find it.", **other: Any) -> Record:
    return {"type": "user", "timestamp": at(0), "message": {"role": "user", "content": text}, **other}


def result(tool: str = "toolu_1", text: Any = "ok", *, is_error: bool = False, **other: Any) -> Record:
    block = {"type": "tool_result", "tool_use_id": tool, "content": text, "is_error": is_error}
    return prompt([block], **other)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / f"agent-{AGENT}.jsonl"


def write(path: Path, *records: Any) -> str:
    text = "".join((record if isinstance(record, str) else json.dumps(record)) + "\n" for record in records)
    path.write_text(text, encoding="utf-8")
    return str(path)


COST = price_table(Home("/none"), Files()).cost


def read(path: Path, *records: Any, since: float | None = None) -> Transcript:
    found = read_transcript(write(path, *records), since, cost=COST)
    assert found is not None
    return found


def tokens(found: Transcript, model: str = SONNET) -> tuple[int, int, int, int]:
    each = found.models[model]
    return each["input"], each["output"], each["cache_read"], each["cache_write"]


# Tokens


def test_usage_that_each_block_of_an_answer_repeats_counts_once(path: Path) -> None:
    found = read(path, answer(said()), answer(called()), answer(called("toolu_2")))
    assert tokens(found) == (4, 1, 15000, 1200)
    assert found.tool_uses == 2


def test_of_each_field_the_largest_number_counts_whatever_the_order(path: Path) -> None:
    records = [answer(m_usage=usage(4, 1)), answer(m_usage=usage(3, 300, 10)), answer(m_usage=usage(2, 20, 20000, 0))]
    assert tokens(read(path, prompt(), *records)) == (4, 300, 20000, 1200)
    assert tokens(read(path, prompt(), *reversed(records))) == (4, 300, 20000, 1200)


def test_answers_are_summed_up_by_model_without_its_suffix(path: Path) -> None:
    found = read(
        path,
        answer(message="a", request="1", m_model="claude-sonnet-5[1m]"),
        answer(message="b", request="2"),
        answer(message="c", request="3", m_model=HAIKU),
        answer(message="d", request="4", m_model=None),
    )
    assert tokens(found) == (8, 2, 30000, 2400)
    assert tokens(found, HAIKU) == tokens(found, "unknown") == (4, 1, 15000, 1200)


@pytest.mark.parametrize("times", [1, 3])
def test_what_an_answer_used_beside_itself_counts_once_and_under_its_own_model(path: Path, times: int) -> None:
    iterations = [
        {"type": "message", **usage(1, 45, 109_696, 7192)},
        {"type": "advisor_message", "model": "claude-opus-5[1m]", **usage(159_419, 7805, 0, 0)},
        {"type": "compaction", **usage(180_000, 3500, 0, 0)},
        {"type": "advisor_message", "model": "claude-opus-5", **usage(1, 2, 3, 4)},
        {"type": "message", **usage(1, 446, 116_888, 661)},
    ]
    whole = {**usage(2, 491, 226_584, 7853), "iterations": iterations}
    growing = {**usage(1, 45, 109_696, 7192), "iterations": iterations[:2]}
    found = read(path, answer(m_usage=growing), *[answer(m_usage=whole)] * times)
    assert tokens(found) == (180_002, 3991, 226_584, 7853)
    assert tokens(found, "claude-opus-5") == (159_420, 7807, 3, 4)


@pytest.mark.parametrize(
    "odd",
    [None, 5, "x", {}, [None, 5, [], {}], [{**usage(9, 9), "type": None}], [{"type": "advisor_message", "model": "m"}]],
)
def test_iterations_that_say_nothing_change_nothing(path: Path, odd: Any) -> None:
    found = read(path, answer(m_usage={**usage(), "iterations": odd}))
    assert (tokens(found), list(found.models)) == ((4, 1, 15000, 1200), [SONNET])


def test_a_side_questions_copy_under_another_request_is_dropped(path: Path) -> None:
    copy = answer(request="req_2", m_usage=usage(9, 9, 9, 9), m_stop_reason=None)
    found = read(path, answer(), copy)
    assert tokens(found) == (4, 1, 15000, 1200)
    assert not found.is_incomplete


def test_a_copy_that_comes_first_gives_way_to_the_answer_itself(path: Path) -> None:
    found = read(path, answer(m_usage=usage(9, 9, 9, 9)), answer(request="req_2", isSidechain=False))
    assert tokens(found) == (4, 1, 15000, 1200)


def test_records_repeated_after_a_resume_count_once(path: Path) -> None:
    run = [prompt(), answer(called(), m_stop_reason="tool_use"), result(), answer(message="msg_2", request="req_2")]
    found = read(path, *run, *run)
    assert tokens(found) == (8, 2, 30000, 2400)
    assert found.tool_uses == 1


def test_a_record_without_a_request_id_belongs_to_its_message(path: Path) -> None:
    assert tokens(read(path, answer(request=None), answer())) == (4, 1, 15000, 1200)


def test_records_without_any_id_are_answers_of_their_own(path: Path) -> None:
    assert tokens(read(path, answer(message=None, request=None), answer(message=None, request=None)))[0] == 8


def test_a_forks_transcript_counts_from_its_own_start(path: Path) -> None:
    records = [answer(called("toolu_of_parent")), prompt(timestamp=at(20)), answer(message="b", timestamp=at(30))]
    found = read(path, *records, since=parse_timestamp(at(15)))
    assert tokens(found)[0] == 4
    assert (found.started, found.tool_uses) == (parse_timestamp(at(20)), 0)


def test_the_number_of_cache_writes_is_the_larger_of_both_ways_to_say_it(path: Path) -> None:
    by_lifetime = {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 50}
    assert tokens(read(path, answer(m_usage={"cache_creation": by_lifetime})))[3] == 150
    larger = {"cache_creation": by_lifetime, "cache_creation_input_tokens": 200}
    assert tokens(read(path, answer(m_usage=larger)))[3] == 200


def test_cache_writes_are_kept_by_their_lifetime(path: Path) -> None:
    both = {"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 900}
    growing = {**usage(cache_write=1000), "cache_creation": {**both, "ephemeral_1h_input_tokens": 700}}
    whole = {**usage(cache_write=1200), "cache_creation": both}
    found = read(path, answer(m_usage=growing), answer(m_usage=whole), answer(message="msg_2", request="req_2"))
    assert (found.models[SONNET]["cache_write"], found.models[SONNET]["cache_write_1h"]) == (2400, 900)
    assert "cache_write_1h" not in read(path, answer()).models[SONNET]


@pytest.mark.parametrize("wrong", [None, True, -5, 10**30, "12", [], {}, float("nan")])
def test_what_is_no_number_of_tokens_is_0(path: Path, wrong: Any) -> None:
    found = read(path, answer(m_usage={**usage(), "input_tokens": wrong, "cache_creation": wrong}))
    assert tokens(found) == (0, 1, 15000, 1200)


def test_each_request_is_priced_by_its_size_speed_cache_and_date(path: Path) -> None:
    fast = usage(1000, 100, 0, 0) | {"speed": "fast"}
    hour = usage(0, 0, 0, 50)
    hour["cache_creation"] = {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 40}
    large, small = usage(100_001, 0, 0, 0), usage(60_000, 0, 0, 0)
    records = [
        answer(message="1", request="1", m_model="claude-opus-5", m_usage=fast),
        answer(message="2", request="2", m_model="claude-opus-5", m_usage=fast | {"speed": "standard"}),
        answer(message="3", request="3", m_model="claude-sonnet-5[1m]", m_usage=hour),
        answer(message="4", request="4", m_model="claude-haiku-5-5", m_usage=large),
        answer(message="5", request="5", m_model="claude-haiku-5-5", m_usage=small),
        answer(message="6", request="6", m_model="claude-haiku-5-5", m_usage=small),
        answer(message="7", request="7", m_model="claude-sonnet-4-6", m_usage=usage(200_001, 0, 0, 0)),
        answer(
            message="8",
            request="8",
            m_model="claude-sonnet-4-6",
            m_usage=usage(200_001, 0, 0, 0),
            timestamp="2026-03-01T00:00:00Z",
        ),
    ]
    moment, day = parse_timestamp(at(10)), parse_timestamp("2026-03-01")
    asked = [
        ("claude-opus-5", {"input": 1000, "output": 100}, moment, "fast"),
        ("claude-opus-5", {"input": 1000, "output": 100}, moment, None),
        ("claude-sonnet-5", {"cache_write": 50, "cache_write_1h": 40}, moment, None),
        ("claude-haiku-5-5", {"input": 100_001}, moment, None),
        ("claude-haiku-5-5", {"input": 60_000}, moment, None),
        ("claude-haiku-5-5", {"input": 60_000}, moment, None),
        ("claude-sonnet-4-6", {"input": 200_001}, moment, None),
        ("claude-sonnet-4-6", {"input": 200_001}, day, None),
    ]
    costs: dict[str, int] = {}
    for model, used, then, speed in asked:
        costs[model] = costs.get(model, 0) + (COST(model, used, then, speed=speed) or 0)
    found = read(path, *records)
    assert {model: used[names.COST] for model, used in found.models.items()} == costs
    assert all(used[names.PRICED] == names.total_tokens(used) for used in found.models.values())


def test_a_model_without_a_price_has_no_cost_and_mars_no_other(path: Path) -> None:
    unknown = answer(message="2", request="2", m_model="claude-next-9")
    found = read(path, answer(), unknown, answer(message="3", request="3", m_usage=usage() | {"speed": "odd"}))
    assert names.COST not in found.models["claude-next-9"]
    used = found.models[SONNET]
    assert used[names.PRICED] * 2 == names.total_tokens(used)  # the answer of an unknown speed has no price
    assert used[names.COST] == COST(SONNET, {key: number // 2 for key, number in used.items()}, 0.0)


def test_without_any_usage_nothing_was_measured(path: Path) -> None:
    for wrong in (None, 5, "none"):
        found = read(path, answer(m_usage=wrong))
        assert (found.models, found.is_incomplete) == ({}, False)


def test_an_answer_without_a_stop_reason_in_any_record_is_incomplete_and_counts(path: Path) -> None:
    found = read(path, answer(m_stop_reason=None), answer(m_stop_reason=None))
    assert found.is_incomplete
    assert tokens(found)[1] == 1
    assert not read(path, answer(m_stop_reason=None), answer()).is_incomplete
    assert read(path, answer(), answer(message="msg_2", m_stop_reason=None)).is_incomplete


def test_an_error_of_the_api_has_no_tokens_and_makes_nothing_incomplete(path: Path) -> None:
    found = read(path, answer(), synthetic("API Error: 500", isApiErrorMessage=True, m_stop_reason=None))
    assert not found.is_incomplete
    assert list(found.models) == [SONNET]


# What cannot be read


def test_no_file_is_no_transcript(path: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for missing in (path, tmp_path, tmp_path / "pipe", "\0", "a" * 5000, "\ud800", None):
        assert read_transcript(missing if missing is None else str(missing)) is None  # type: ignore[arg-type] # is told


def test_lines_that_cannot_be_read_are_skipped_and_counted(path: Path) -> None:
    deep = '{"type":"assistant","message":' + "[" * 100_000 + "]" * 100_000 + "}"
    found = read(path, prompt(), "garbage", "[1]", "null", "{bad}", deep, answer(), '{"type": "user", "mess')
    assert found.skipped == 6
    assert tokens(found)[0] == 4


def test_a_torn_last_line_of_any_length_is_skipped(path: Path) -> None:
    last = json.dumps(result(), separators=(",", ":")).encode()
    whole = json.dumps(answer(called())).encode() + b"\n"
    for size in range(1, len(last)):
        path.write_bytes(whole + last[:size])
        found = read_transcript(str(path))
        assert found is not None
        assert (found.skipped, found.ending) == (1, MID_TOOL)


def test_blank_lines_and_a_byte_order_mark_are_no_damage(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(answer()).encode() + b"\r\n\n  \n" + json.dumps(prompt()).encode())
    found = read_transcript(str(path))
    assert found is not None
    assert found.skipped == 0
    assert tokens(found)[0] == 4


def test_a_line_that_is_not_utf_8_is_read_with_replacement(path: Path) -> None:
    line = json.dumps(answer(said("price: X"))).encode().replace(b"X", b"\xff\xfe")
    path.write_bytes(line + b"\n")
    found = read_transcript(str(path))
    assert found is not None
    assert (found.skipped, tokens(found)[0]) == (0, 4)


def test_a_line_that_is_too_long_is_skipped_and_the_next_one_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LINE_BYTES", 2000)
    found = read(path, answer(said("x" * 9000)), answer(), prompt("y" * 1000))
    assert found.skipped == 1
    assert tokens(found)[0] == 4


def test_text_that_cannot_be_written_as_utf_8_is_replaced(path: Path) -> None:
    broken = synthetic("API Error: \ud800", isApiErrorMessage=True, version="\udfff", attributionAgent="a\ud800")
    found = read(path, broken)
    assert (found.error, found.version, found.agent) == ("API Error: ?", "?", "a?")


def test_a_tool_that_prints_records_says_nothing(path: Path) -> None:
    printed = json.dumps(answer(message="other")) + json.dumps(synthetic("API Error", isApiErrorMessage=True))
    found = read(path, prompt(), answer(called()), result(text=printed), answer(message="msg_2", request="req_2"))
    assert (tokens(found)[0], found.ending) == (8, CLEAN)


# When and by whom


def test_a_run_lasts_from_its_first_record_to_its_last(path: Path) -> None:
    note = {"type": "system", "timestamp": at(500)}
    found = read(path, prompt(), answer(timestamp=at(70), version="2.1.240", attributionAgent="coder"), note)
    assert found.started == parse_timestamp(at(0))
    assert found.ended == parse_timestamp(at(70))
    assert (found.version, found.agent) == ("2.1.240", "coder")


@pytest.mark.parametrize("wrong", [None, 5, "", "soon", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59"])
def test_a_moment_that_cannot_be_is_none(path: Path, wrong: Any) -> None:
    found = read(path, prompt(timestamp=wrong), answer(timestamp=wrong))
    assert (found.started, found.ended) == (None, None)
    assert tokens(found)[0] == 4


# How it ends

INTERNAL = [
    {"type": "system", "subtype": "api_error", "message": {"content": "Retrying"}},
    {"type": "attachment", "attachment": {"type": "task_status", "status": "failed"}},
    {"type": "queue-operation", "operation": "enqueue", "content": "x"},
    {"type": "progress", "data": {"type": "agent_progress", "message": {"type": "assistant"}}},
    {"type": "summary", "summary": "x"},
    synthetic("No response requested.", isApiErrorMessage=False),
    prompt("<system-reminder>x</system-reminder>", isMeta=True),
]
ENDINGS = {
    "nothing": ([], EMPTY),
    "only the prompt": ([prompt()], EMPTY),
    "an answer": ([prompt(), answer()], CLEAN),
    "an answer without a stop reason": ([prompt(), answer(m_stop_reason=None)], CLEAN),
    "an answer without words": ([prompt(), answer(m_content=[])], CLEAN),
    "an answer to a tool's result": ([answer(called()), result(), answer(message="msg_2")], CLEAN),
    "a tool that was called": ([prompt(), answer(called(), m_stop_reason=None)], MID_TOOL),
    "words after the call of a tool": ([prompt(), answer(called()), answer(said())], MID_TOOL),
    "words before the call of a tool": ([prompt(), answer(said(), m_stop_reason="tool_use")], MID_TOOL),
    "one result of two": ([answer(called()), answer(called("toolu_2")), result()], MID_TOOL),
    "a tool's result": ([answer(called()), result()], AFTER_TOOL),
    "the results of two tools": (
        [answer(called()), answer(called("toolu_2")), result(), result("toolu_2")],
        AFTER_TOOL,
    ),
    "an answer that is written before the result that it answers": (
        [answer(called()), answer(message="msg_2"), result()],
        CLEAN,
    ),
    "a call that is written before the result of the last one": (
        [answer(called()), answer(called("toolu_2"), message="msg_2"), result()],
        MID_TOOL,
    ),
    "an answer in spite of a missing result": ([answer(called()), prompt("go on"), answer(message="msg_2")], CLEAN),
    "a refusal": ([prompt(), answer(m_content=[], m_stop_reason="refusal")], UNANSWERED),
    "a refusal after thoughts": ([answer({"type": "thinking"}, m_stop_reason="refusal")], UNANSWERED),
    "a refusal after some words": ([answer(m_stop_reason="refusal")], UNANSWERED),
    "a refusal within a call": ([answer(called(), m_stop_reason="refusal")], UNANSWERED),
    "an answer after a refusal": ([answer(m_stop_reason="refusal"), answer(message="msg_2")], CLEAN),
    "no room for the answer": ([answer(m_stop_reason="max_tokens")], UNANSWERED),
    "no room in the context": ([answer(m_stop_reason="model_context_window_exceeded")], UNANSWERED),
    "a pause": ([answer(m_stop_reason="pause_turn")], MID_TOOL),
    "a stop sequence": ([answer(m_stop_reason="stop_sequence")], CLEAN),
    "a reason that nobody knows yet": ([answer(m_stop_reason="sunset")], CLEAN),
    "thoughts": ([prompt(), answer({"type": "thinking", "thinking": "hm"}, m_stop_reason=None)], MID_TOOL),
    "a question to a woken agent": ([prompt(), answer(), prompt("And now?")], MID_TOOL),
    "an interruption": ([answer(called()), prompt([said(INTERRUPTION)])], INTERRUPTED),
    "an interruption as a text": ([answer(), prompt("[Request interrupted by user for tool use]")], INTERRUPTED),
    "an interruption as a result": ([answer(called()), result(text=INTERRUPTION, is_error=True)], INTERRUPTED),
    "a result that prints an interruption": ([answer(called()), result(text=INTERRUPTION)], AFTER_TOOL),
    "an interruption and the results": ([answer(called()), prompt(INTERRUPTION), result()], INTERRUPTED),
    "an interruption by Claude Code": ([answer(), synthetic(INTERRUPTION)], INTERRUPTED),
    "an interruption marked as an error": ([answer(), synthetic(INTERRUPTION, isApiErrorMessage=True)], INTERRUPTED),
    "an aborted answer": ([prompt(), answer(isAbortedMidStream=True, m_stop_reason=None)], INTERRUPTED),
    "an aborted call": ([answer(called(), isAbortedMidStream=True), result(is_error=True)], INTERRUPTED),
    "an aborted request": ([synthetic("API Error: Request was aborted.", isApiErrorMessage=True)], INTERRUPTED),
    "a tool that the user has rejected": ([answer(called()), result(is_error=True, **DENIED)], INTERRUPTED),
    "a tool that a rule forbids": ([answer(called()), result(toolDenialKind="permission-rule")], AFTER_TOOL),
    "an answer after an interruption": ([answer(), prompt(INTERRUPTION), answer(message="msg_2")], CLEAN),
    "an error": ([answer(called()), result(), synthetic("API Error: 500", isApiErrorMessage=True)], API_ERROR),
    "an error known by its model": ([answer(), synthetic("Connection error.")], API_ERROR),
    "an error known by its code": ([answer(), synthetic("", error="server_error")], API_ERROR),
    "an error known by its text": ([answer(), synthetic("API Error: 500", isApiErrorMessage=False)], API_ERROR),
    "an error that was got over": ([synthetic("API Error: 500", isApiErrorMessage=True), answer()], CLEAN),
    "an error that a prompt follows": ([synthetic("API Error", isApiErrorMessage=True), prompt("Again")], MID_TOOL),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_the_last_record_of_the_agent_says_how_a_transcript_ends(path: Path, name: str) -> None:
    records, ending = ENDINGS[name]
    found = read(path, *records)
    assert found.ending == ending
    assert (found.error is not None) == (ending in (API_ERROR, UNANSWERED))


@pytest.mark.parametrize("reason", sorted(UNANSWERED_BECAUSE))
def test_an_answer_that_is_none_says_why(path: Path, reason: str) -> None:
    found = read(path, prompt(), answer(m_stop_reason=reason))
    assert (found.error, found.error_type, found.outage) == (UNANSWERED_BECAUSE[reason], reason, None)
    found = read(path, prompt(), synthetic("API Error: no", isApiErrorMessage=True, m_stop_reason=reason))
    assert (found.ending, found.error, found.error_type) == (API_ERROR, "API Error: no", reason)


@pytest.mark.parametrize("name", ENDINGS)
def test_notes_of_claude_code_to_itself_change_no_ending(path: Path, name: str) -> None:
    records, ending = ENDINGS[name]
    assert read(path, *records, *INTERNAL).ending == ending


@pytest.mark.parametrize(
    ("text", "fields", "outage"),
    [
        ("Nope", {"error": "rate_limit"}, "rate_limit"),
        ("Nope", {"error": "overloaded"}, "overloaded"),
        ("Nope", {"error": "authentication_failed"}, "authentication"),
        ("Nope", {"error": "oauth_org_not_allowed"}, "billing"),
        ("Nope", {"error": "account_on_hold"}, "billing"),
        ("Nope", {"error": "billing_error"}, "billing"),
        ("Nope", {"error": {"type": "overloaded_error"}}, "overloaded"),
        ("Nope", {"error": "server_error", "apiErrorStatus": 529}, "overloaded"),
        ("Nope", {"error": "unknown", "apiErrorStatus": "429"}, "rate_limit"),
        ("Nope", {"apiErrorStatus": 401}, "authentication"),
        ("Nope", {"apiErrorStatus": 402}, "billing"),
        ("API Error: Repeated 529 Overloaded errors", {}, "overloaded"),
        ("API Error: Overloaded", {}, "overloaded"),
        ("API Error (529 {})", {"error": "server_error"}, "overloaded"),
        ("API Error: 402", {}, "billing"),
        ("API Error: \u00b2\u00b2\u00b2", {}, None),
        ("You've hit your limit", {}, "rate_limit"),
        ("Invalid API key · Please run /login", {}, "authentication"),
        ("Credit balance is too low", {}, "billing"),
        ("API Error: 500", {"error": "server_error", "apiErrorStatus": 500}, None),
        ("Nope", {"error": "invalid_request"}, None),
        ("Nope", {"error": "model_not_found", "apiErrorStatus": 404}, None),
        ("Nope", {"error": "max_output_tokens"}, None),
        ("Nope", {"error": ["rate_limit"], "apiErrorStatus": True}, None),
    ],
)
def test_an_error_that_is_an_outage_is_recognised_by_status_code_or_text(
    path: Path, text: str, fields: Record, outage: str | None
) -> None:
    found = read(path, answer(), synthetic(text, isApiErrorMessage=True, **fields))
    assert (found.ending, found.outage, found.error) == (API_ERROR, outage, text)


def test_an_errors_text_is_cut_and_its_code_stands_in_for_it(path: Path) -> None:
    found = read(path, synthetic("é" * 900, isApiErrorMessage=True))
    assert found.error == "é" * 500
    assert read(path, synthetic("", error="server_error")).error == "server_error"
    assert read(path, synthetic("", isApiErrorMessage=True)).error == "API Error"


# Whatever is in it

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
WORDS = ("user", "assistant", "attachment", "queue-operation", "text", "tool_use", "tool_result", "<synthetic>")
VALUES = JSON | st.sampled_from((*WORDS, AGENT, TOOL, INTERRUPTION, "<task-notification><task-id>a</task-id>", at(1)))
BLOCKS = st.fixed_dictionaries(
    {"type": VALUES},
    optional={"text": VALUES, "id": VALUES, "tool_use_id": VALUES, "content": VALUES, "is_error": VALUES},
)
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "id": VALUES,
        "model": VALUES,
        "stop_reason": VALUES,
        "content": VALUES | st.lists(BLOCKS | VALUES, max_size=3),
        "usage": VALUES
        | st.dictionaries(
            st.sampled_from((*usage(), "cache_creation")),
            VALUES | st.dictionaries(st.sampled_from(tuple(usage()["cache_creation"])), VALUES),
        ),
    },
)
RECORDS = st.fixed_dictionaries(
    {"type": st.sampled_from(WORDS) | VALUES},
    optional={
        "message": MESSAGES | VALUES,
        "attachment": st.dictionaries(st.sampled_from(("type", "status", "taskId", "prompt", "error")), VALUES)
        | VALUES,
        "toolUseResult": st.dictionaries(st.sampled_from(("status", "agentId", "task_id", "message")), VALUES) | VALUES,
        **dict.fromkeys(
            ("error", "apiErrorStatus", "isApiErrorMessage", "isAbortedMidStream", "toolDenialKind"), VALUES
        ),
        **dict.fromkeys(("timestamp", "requestId", "uuid", "isSidechain", "version", "content", "subtype"), VALUES),
    },
)
IN_ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def check_all(path: Path) -> None:
    found = read_transcript(str(path))
    assert found is not None
    assert found.ending in (AFTER_TOOL, API_ERROR, CLEAN, EMPTY, INTERRUPTED, MID_TOOL, UNANSWERED)
    shown = [found.error, found.version, found.agent, *found.models]
    assert all(text is None or text.encode() for text in shown)
    assert all(number >= 0 for model in found.models.values() for number in model.values())
    known = evidence(str(path), {TOOL, ""}, {AGENT, ""})
    statuses = (None, "completed", "launched", "failed", "killed")
    assert all(one.status in statuses for one in known.values())


@IN_ONE_FOLDER
@given(st.binary())
@example(b'{"type":"assistant"}\n\xff\xff\n{"type":"user"')
def test_any_bytes_are_survived(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    check_all(path)


@IN_ONE_FOLDER
@given(st.lists(RECORDS | st.just(answer(called(TOOL))) | st.just(result(TOOL, toolUseResult="x")), max_size=6))
def test_any_records_are_survived(path: Path, records: list[Any]) -> None:
    write(path, *records)
    check_all(path)


@IN_ONE_FOLDER
@given(st.permutations([usage(1, 2, 3, 4), usage(4, 3, 2, 1), usage(2, 2, 9, 9)]), st.integers(1, 3))
def test_repeated_and_shuffled_records_of_an_answer_change_nothing(path: Path, order: list[Any], times: int) -> None:
    assert tokens(read(path, *[answer(m_usage=each) for each in order] * times)) == (4, 3, 9, 9)


@IN_ONE_FOLDER
@given(
    st.lists(RECORDS | st.sampled_from([record for records, _ in ENDINGS.values() for record in records]), max_size=9)
)
def test_lines_that_are_left_out_in_the_first_pass_change_nothing(path: Path, records: list[Any]) -> None:
    names = ("models", "is_incomplete", "tool_uses", "ending", "error", "outage", "skipped")
    found = read(path, prompt(), *records)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transcript_reader, "_needs_reading", bool)
        whole = read(path, prompt(), *records)
    assert [getattr(found, name) for name in names] == [getattr(whole, name) for name in names]


# Where transcripts are


@pytest.fixture
def session(tmp_path: Path) -> Path:
    folder = tmp_path / "projects" / "abc123" / "subagents"
    (folder / "workflows" / "wf_1").mkdir(parents=True)
    for name in (f"agent-{AGENT}", "agent-acompact-1", "agent-aprompt_suggestion-2", "agent-aside_question-3"):
        (folder / f"{name}.jsonl").touch()
    (folder / "workflows" / "wf_1" / "agent-a77.jsonl").touch()
    (folder / "workflows" / "wf_1" / "journal.jsonl").touch()
    (folder / f"agent-{AGENT}.meta.json").touch()
    (tmp_path / "projects" / "abc123.jsonl").touch()
    return tmp_path / "projects" / "abc123.jsonl"


def test_a_transcript_is_beside_its_session_also_in_a_workflow(session: Path) -> None:
    folder = session.parent / "abc123" / "subagents"
    assert places.agent_transcript(str(session), AGENT) == str(folder / f"agent-{AGENT}.jsonl")
    assert places.agent_transcript(str(session), f"agent-{AGENT}") == str(folder / f"agent-{AGENT}.jsonl")
    assert places.agent_transcript(str(session), "a77") == str(folder / "workflows" / "wf_1" / "agent-a77.jsonl")
    assert places.agent_transcript(str(session), "a78") is None
    assert places.agent_transcript(None, AGENT) is None


def test_the_path_that_is_given_counts_if_it_is_there_and_not_the_sessions_own(
    session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(session.parent))
    told = session.parent / "told.jsonl"
    usual = places.agent_transcript(str(session), AGENT)
    assert places.agent_transcript(str(session), AGENT, "~/told.jsonl") == usual
    told.touch()
    assert places.agent_transcript(str(session), AGENT, "~/told.jsonl") == str(told)
    assert places.agent_transcript(str(session), AGENT, "~/abc123.jsonl") == usual
    assert places.agent_transcript("~/abc123.jsonl", AGENT) == usual


@pytest.mark.parametrize("agent", ["", "../x", "..", "a/b", "a\\b", "a\0b", "a" * 200, "a\nb", "*", "é", "a..b", "C:a"])
def test_an_id_leads_nowhere_else(session: Path, agent: str) -> None:
    folder = session.parent / "abc123" / "subagents"
    (folder / "agent-..").mkdir()
    (folder / "x.jsonl").touch()
    assert places.agent_transcript(str(session), agent) is None
    assert places.sidecar(str(session), agent) == {}


def test_links_to_folders_are_not_followed(session: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "agent-a99.jsonl").touch()
    (session.parent / "abc123" / "subagents" / "workflows" / "wf_2").symlink_to(tmp_path / "elsewhere")
    assert places.agent_transcript(str(session), "a99") is None


def test_a_sidecar_gives_what_it_has_of_the_right_type(session: Path) -> None:
    sidecar = session.parent / "abc123" / "subagents" / f"agent-{AGENT}.meta.json"
    whole = {"agentType": "Explore", "description": "secret", "toolUseId": TOOL, "spawnDepth": 1, "name": None}
    sidecar.write_text(json.dumps(whole), encoding="utf-8")
    assert places.sidecar(str(session), AGENT) == {"agentType": "Explore", "toolUseId": TOOL, "spawnDepth": 1}
    (sidecar.parent / f"agent-{AGENT}.jsonl").unlink()
    assert places.sidecar(str(session), AGENT)["toolUseId"] == TOOL
    for wrong in (b"", b"[]", b"\xff", b"{" * 100_000, b'{"agentType": 5, "spawnDepth": true}'):
        sidecar.write_bytes(wrong)
        assert places.sidecar(str(session), AGENT) == {}


def test_a_file_that_is_gone_was_never_modified(session: Path) -> None:
    os.utime(session, (5, 5))
    assert places.modified(str(session)) == 5
    assert places.modified(str(session) + "x") is places.modified("\0") is None


# Notifications


def notice(*, status: str = "completed", verdict: str = "finished", text: str = "All good.", name: str = "Find") -> str:
    return (
        f"<task-notification>\n<task-id>{AGENT}</task-id>\n<tool-use-id>{TOOL}</tool-use-id>\n"
        f"<output-file>/x</output-file>\n<status>{status}</status>\n"
        f'<summary>Agent "{name}" {verdict}</summary>\n<note>A note</note><result>{text}</result>\n'
        "<usage><subagent_tokens>5</subagent_tokens><tool_uses>7</tool_uses></usage>\n</task-notification>"
    )


@pytest.mark.parametrize(
    ("told", "verdict", "status", "is_stalled"),
    [
        ("completed", "finished", "completed", False),
        (" Completed\n", "came to rest", "completed", False),
        ("failed", "failed: API Error: 500", "failed", False),
        ("failed", "failed: Agent stalled: no progress for 600s", "failed", True),
        ("killed", "was stopped", "killed", False),
        ("stopped", "finished", "killed", False),
        ("completed", "was stopped by the user", "killed", False),
        ("", "completed", "completed", False),
        ("", "failed: x", "failed", False),
        ("", "was stopped", "killed", False),
        ("running", "finished", None, False),
        ("", "is thinking", None, False),
    ],
)
def test_a_notification_says_how_a_task_has_ended(
    told: str, verdict: str, status: str | None, is_stalled: bool
) -> None:
    (found,) = notifications_in(notice(status=told, verdict=verdict))
    assert found is not None
    assert (found.task_id, found.tool_use_id) == (AGENT, TOOL)
    assert (found.status, found.is_stalled) == (status, is_stalled)


def test_a_failed_tasks_error_is_what_the_summary_says_after_its_description() -> None:
    (found,) = notifications_in(notice(status="failed", verdict="failed: API Error: 529 overloaded_error"))
    assert found is not None
    assert found.error == "API Error: 529 overloaded_error"
    (completed,) = notifications_in(notice())
    assert completed is not None
    assert completed.error is None


@pytest.mark.parametrize(
    "summary", ['Agent "why "login" failed for X" failed: API Error: 529', "Agent X failed: API Error: 529"]
)
def test_where_a_summary_may_have_the_description_in_its_error_only_the_outage_is_kept(summary: str) -> None:
    (found,) = notifications_in(f"{MARK}<task-id>a1</task-id><status>failed</status><summary>{summary}</summary>")
    assert (found.status, found.error, found.outage) == ("failed", None, "overloaded")


def test_a_description_says_nothing_of_the_outcome() -> None:
    (found,) = notifications_in(notice(name='fix "it was stopped by the user", stalled'))
    assert found is not None
    assert (found.status, found.is_stalled) == ("completed", False)


def test_tags_may_be_missing_or_others_or_without_an_end() -> None:
    (one,) = notifications_in("<task-notification><new>1</new><task-id> agent-a1 </task-id><status>failed")
    assert (one.task_id, one.tool_use_id, one.status) == ("a1", None, None)
    (other,) = notifications_in("  <task-notification></task-notification>")
    assert (other.task_id, other.status) == (None, None)
    (wrong,) = notifications_in("<task-notification><task-id>a b</task-id></task-notification>")
    assert wrong.task_id is None


def test_several_notifications_of_one_prompt_are_all_found() -> None:
    second = "<task-notification><task-id>b</task-id><status>killed</status></task-notification>"
    unended = "<task-notification><task-id>c</task-id><status>failed</status>"
    found = notifications_in(f"{notice()}\n{unended}{second} and words")
    assert [(one.task_id, one.status) for one in found] == [(AGENT, "completed"), ("c", "failed"), ("b", "killed")]


@pytest.mark.parametrize(
    "text",
    [
        notice(status="failed"),
        "<status>failed</status></task-notification>",
        "<result>inner</result> and <result>more</result>",
        "if a < b and <result> or <T>",
        "<task-notification><task-id>x</task-id></task-notification>",
    ],
)
def test_a_result_can_quote_anything(text: str) -> None:
    second = notice(status="killed")
    found = notifications_in(notice(text=text) + second)
    assert [one.status for one in found] == ["completed", "killed"]


@given(st.text() | st.lists(st.sampled_from(notice().replace(">", ">\0").split("\0")), max_size=30).map("".join))
def test_any_text_is_survived(text: str) -> None:
    for one in notifications_in(text):
        assert one.status in (None, "completed", "failed", "killed")
    assert notifications_in(None) == []  # type: ignore[arg-type] # whatever a payload holds


def test_text_made_to_take_long_is_cut_short() -> None:
    many = notifications_in(notification.MARK * 5000)
    assert len(many) == 100
    nested = notifications_in(notification.MARK + "<result>" * 5000 + "</result>" * 5000)
    assert len(nested) == 1


# The parent's transcript


def launch(outcome: Any, *, text: Any = "ok", is_error: bool = False, **other: Any) -> Record:
    return result(TOOL, text, is_error=is_error, toolUseResult=outcome, **other)


def known(path: Path, *records: Any, tools: tuple[str, ...] = (TOOL,), agents: tuple[str, ...] = ()) -> Evidence:
    found = evidence(write(path, *records), set(tools), set(agents))
    return found[TOOL] if tools else found[agents[0]]


@pytest.mark.parametrize(
    ("record", "status", "error"),
    [
        (launch({"status": "completed", "agentId": AGENT}), "completed", None),
        (launch({"status": "async_launched", "agentId": AGENT}), "launched", None),
        (launch({"status": "remote_launched", "taskId": "t"}), "launched", None),
        (launch({"isAsync": True, "agentId": AGENT}), "launched", None),
        (launch({"content": [], "totalTokens": 5}), "completed", None),
        (launch({"status": "thinking"}), None, None),
        (launch("Error: Agent type 'x' not found"), "failed", "Error: Agent type 'x' not found"),
        (launch(None, text="It broke", is_error=True), "failed", "It broke"),
        (launch(None, text=[said("It broke")], is_error=True), "failed", "It broke"),
        (launch("All good."), "completed", None),
        (launch("x", is_error=True, toolDenialKind="permission-rule"), "killed", None),
        (launch("User rejected tool use", is_error=True), "killed", None),
        (launch("Error: PreToolUse:Agent hook error: no", is_error=True), "killed", None),
        (launch("Error: " + INTERRUPTION, is_error=True), "killed", None),
        (launch(None, text=INTERRUPTION, is_error=True), "killed", None),
        (launch("Error: x", interruptedByShutdown=True, toolDenialKind="interrupted"), None, None),
    ],
)
def test_the_result_of_a_launch_says_what_became_of_it(
    path: Path, record: Record, status: str | None, error: str | None
) -> None:
    found = known(path, prompt(), answer(called(TOOL)), record)
    assert (found.status, found.error) == (status, error)
    assert found.tool_use_id == TOOL


def test_a_launch_leads_to_its_agent_and_what_is_said_of_that(path: Path) -> None:
    launched = launch({"status": "async_launched", "agentId": f"agent-{AGENT}"})
    ended = f"<task-notification><task-id>{AGENT}</task-id><status>failed</status></task-notification>"
    write(path, launched, {"type": "queue-operation", "operation": "enqueue", "content": ended}, launched)
    found = evidence(str(path), {TOOL}, set())
    assert found[TOOL] is found[AGENT]
    assert (found[TOOL].status, found[TOOL].agent_id) == ("failed", AGENT)


@pytest.mark.parametrize(
    "record",
    [
        prompt(notice(status="killed")),
        prompt([said(notice(status="killed"))]),
        {"type": "queue-operation", "content": notice(status="killed")},
        {"type": "attachment", "attachment": {"type": "queued_command", "prompt": notice(status="killed")}},
        {"type": "attachment", "attachment": {"type": "task_status", "taskId": AGENT, "status": "killed"}},
        {"type": "attachment", "attachment": {"type": "task_status", "tool_use_id": TOOL, "status": "killed"}},
        {"type": "attachment", "attachment": {"type": "agents_killed", "agents": [{"id": AGENT}]}},
        {"type": "system", "subtype": "agents_killed", "toolUseIds": [TOOL]},
        {"type": "system", "subtype": "agents_killed"},
        result("toolu_2", toolUseResult={"message": f"Successfully stopped task: {AGENT}", "task_id": AGENT}),
    ],
)
def test_that_an_agent_was_killed_is_said_in_many_ways(path: Path, record: Record) -> None:
    launched = launch({"status": "async_launched", "agentId": AGENT})
    assert known(path, launched, record).status == "killed"


def test_a_notice_without_names_kills_only_what_is_running(path: Path) -> None:
    ended = launch({"status": "completed", "agentId": AGENT})
    assert known(path, ended, {"type": "system", "subtype": "agents_killed"}).status == "completed"


def test_a_stalled_agent_has_failed_with_what_is_said_of_it(path: Path) -> None:
    status = {
        "type": "task_status",
        "status": "failed",
        "task_id": AGENT,
        "error": "Agent stalled: no progress for 600s",
    }
    found = known(path, {"type": "attachment", "attachment": status}, tools=(), agents=(AGENT,))
    assert (found.status, found.error) == ("failed", "Agent stalled: no progress for 600s")


def test_the_last_turn_of_a_woken_agent_decides(path: Path) -> None:
    found = known(path, prompt(notice(status="failed")), prompt(notice()), agents=(f"agent-{AGENT}",))
    assert (found.status, found.error) == ("completed", None)


def test_what_is_said_of_others_and_what_tools_print_is_no_evidence(path: Path) -> None:
    records = [result("toolu_2", notice(status="failed")), result("toolu_3", toolUseResult={"agentId": AGENT})]
    assert evidence(write(path, *records), {TOOL}, {AGENT}) == {}


def test_only_the_end_of_a_long_transcript_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parent, "TAIL_BYTES", 4000)
    old = launch({"status": "completed"})
    assert evidence(write(path, old, prompt("x" * 5000)), {TOOL}, set()) == {}
    assert known(path, prompt("x" * 5000), old).status == "completed"


def test_a_transcript_that_is_not_there_says_nothing(path: Path, tmp_path: Path) -> None:
    for missing in (str(path), str(tmp_path), "\0", None):
        assert evidence(missing, {TOOL}, {AGENT}) == {}  # type: ignore[arg-type] # whatever a payload holds


@pytest.mark.processes
def test_reading_loads_no_module_that_would_slow_the_hook_down() -> None:
    import subprocess
    import sys

    names = "transcript_reader, parent, places, notification"
    code = f"import sys; from otel_tracker.integrations.claude_code.transcripts import {names}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    slow = {"typing", "dataclasses", "pathlib", "opentelemetry", "collections.abc", "logging", "asyncio", "inspect"}
    sites = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    assert not (slow & set(loaded)) - set(sites.stdout.split())


# Long ones


def a_long_run() -> list[Any]:
    """Return records of all kinds: turns and rests, repeated and copied answers, damaged lines, results without an end."""
    records: list[Any] = [prompt(version="2.1.1")]
    for number in range(30):
        told = {"message": f"msg_{number}", "request": f"req_{number}", "timestamp": at(60 * number + 5)}
        records += [answer(called(f"toolu_{number}"), **told, m_usage=usage(2, 20 + number, 100, 0))]
        records += [answer(called(f"toolu_{number}b"), **told, m_usage=usage(3, 10, 0, 5), m_stop_reason="tool_use")]
        records += [result(f"toolu_{number}", "x" * 300, timestamp=at(60 * number + 6))]
        if number % 7 == 3:
            records += ["{ damaged", answer(said(), **told), prompt("Go on.", timestamp=at(60 * number + 40))]
        if number % 5 == 1:  # a side question repeats an answer under a request of its own
            records += [answer(called(), message=f"msg_{number}", request="req_side", m_usage=usage(900, 900))]
    advice = {"type": "advisor_message", "model": HAIKU, "input_tokens": 7, "output_tokens": 8}
    records += [answer(said(), message="msg_last", request="req_last", m_usage={**usage(), "iterations": [advice]})]
    return records


def facts_of(found: Transcript) -> dict[str, Any]:
    return {name: getattr(found, name) for name in Transcript.__slots__ if name != "reading"}


@pytest.fixture
def _short_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file of some bytes be long, and the time be over after some of them."""
    monkeypatch.setattr("otel_tracker.integrations.claude_code.transcripts.transcript_reader._LONG_BYTES", 100)
    monkeypatch.setattr("otel_tracker.integrations.claude_code.transcripts.transcript_reader._LOOK_BYTES", 700)
    monkeypatch.setattr("otel_tracker.integrations.claude_code.transcripts.transcript_reader.TAIL_BYTES", 3000)


def read_on(path: str, since: "float | None" = None) -> "list[Transcript]":
    """Read a transcript in pieces, as hooks do one after another; what one has found comes back from a file."""
    pieces: list[Transcript] = []
    reading = None
    while not pieces or pieces[-1].is_partial:
        found = read_transcript(path, since, json.loads(json.dumps(reading)), until=0.0, cost=COST)
        assert found is not None
        reading = found.reading
        pieces.append(found)
    return pieces


@pytest.mark.usefixtures("_short_of_time")
@pytest.mark.parametrize("length", [90, 100, 118, 119, 120, 121])
def test_a_transcript_that_is_read_in_pieces_says_what_it_says_as_a_whole(path: Path, length: int) -> None:
    whole = read(path, *a_long_run()[:length])
    *partial, last = read_on(str(path))
    assert len(partial) > 10
    assert facts_of(last) == facts_of(whole)


@pytest.mark.usefixtures("_short_of_time")
def test_a_part_of_a_transcript_has_no_more_tokens_than_the_whole_and_its_end(path: Path) -> None:
    whole = read(path, *a_long_run())
    *partial, _ = read_on(str(path))
    measured = [tokens(found) for found in partial if found.models]
    assert measured == sorted(measured)
    assert all(one < tokens(whole) for one in measured[:-1])
    assert {(found.ending, found.version) for found in partial} == {(CLEAN, whole.version)}


@pytest.mark.usefixtures("_short_of_time")
def test_a_long_transcript_that_grows_is_read_on_from_where_it_ended(path: Path) -> None:
    records = a_long_run()
    found = read(path, *records[:60])
    with path.open("a") as file:
        file.write("".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in records[60:]))
    grown = read_transcript(str(path), None, json.loads(json.dumps(found.reading)), cost=COST)
    assert grown is not None
    assert facts_of(grown) == facts_of(read(path, *records))


@pytest.mark.usefixtures("_short_of_time")
@pytest.mark.parametrize(
    "reading", [{}, {"file": None}, {"file": [0, None]}, "its own, without answers", "its own, with odd places"]
)
def test_a_reading_that_makes_no_sense_begins_anew(path: Path, reading: Any) -> None:
    whole = read(path, *a_long_run())
    own: Any = dict(whole.reading or {})
    odd: Any = {
        "its own, without answers": {**own, "answers": None},
        "its own, with odd places": {**own, "places": [1]},
    }
    found = read_transcript(str(path), None, odd[reading] if isinstance(reading, str) else reading, cost=COST)
    assert found is not None
    assert facts_of(found) == facts_of(whole)


@pytest.mark.usefixtures("_short_of_time")
def test_a_shorter_file_under_the_same_name_is_read_from_its_beginning(path: Path) -> None:
    long = read(path, *a_long_run())
    short = read(path, *a_long_run()[:20])
    found = read_transcript(str(path), None, long.reading, cost=COST)
    assert found is not None
    assert facts_of(found) == facts_of(short)
