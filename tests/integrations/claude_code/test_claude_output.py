"""What `claude -p --output-format json` and `stream-json` say of a task, from results composed as they are documented."""

import json
import shlex
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_tracker import MetricTracker, names
from otel_tracker.cli import main
from otel_tracker.integrations.claude_code import output as claude_output
from otel_tracker.integrations.claude_code.output import ClaudeOutput
from otel_tracker.names import UNANSWERED_BECAUSE
from otel_tracker.runtime.ids import new_id
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.state import event
from otel_tracker.state.amendment import amendment_of
from otel_tracker.state.outages import outage_of
from otel_tracker.storage.home import Home
from otel_tracker.tracking import retry
from tests.places import DATA

RESULTS = DATA / "claude"
SONNET, HAIKU, OPUS = "claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001", "claude-opus-4-5-20251101"
STREAM = "7c0f1f0a-3a51-4a0e-9a53-2f1f6c1f0b10"
STREAM_USE = {
    SONNET: {"input": 15, "output": 43, "cache_read": 12_044, "cache_write": 12_354},
    HAIKU: {"input": 402, "output": 9, "cache_read": 0, "cache_write": 0},
}
AGENT = "a.md"


def recorded(name: str) -> bytes:
    return (RESULTS / name).read_bytes()


def seen(*chunks: bytes) -> ClaudeOutput:
    """Return what has been found in one attempt's output."""
    output = ClaudeOutput()
    output.begin()
    for chunk in chunks:
        output.feed(chunk)
    output.close()
    return output


def found(output: ClaudeOutput) -> tuple[Any, ...]:
    return output.error, output.conversation_id, unpriced(output.models), unpriced(output.tokens)


def unpriced(tokens: Any) -> Any:
    """Return tokens by type, or by model and type, without what they cost."""
    if tokens is None:
        return None
    return {
        key: unpriced(number) if isinstance(number, dict) else number
        for key, number in tokens.items()
        if key not in (names.COST, names.PRICED)
    }


def line(**result: Any) -> bytes:
    """Return a result, on a line of its own."""
    return (
        json.dumps(
            {"type": "result", "subtype": "success", "is_error": False, "total_cost_usd": 0.1, **result}
        ).encode()
        + b"\n"
    )


NOTHING: tuple[Any, ...] = (None, None, {}, None)


# What is found.


def test_a_result_tells_the_tokens_by_model_and_type_and_the_conversation() -> None:
    output = seen(recorded("result-success.json"))
    assert output.error is None
    assert output.conversation_id == "7c0f1f0a-3a51-4a0e-9a53-2f1f6c1f0b01"
    assert unpriced(output.models) == {
        HAIKU: {"input": 2310, "output": 96, "cache_read": 0, "cache_write": 0},
        SONNET: {"input": 18, "output": 1204, "cache_read": 91_220, "cache_write": 8031},
    }
    assert unpriced(output.tokens) == {"input": 2328, "output": 1300, "cache_read": 91_220, "cache_write": 8031}


@pytest.mark.parametrize("name", ["stream.jsonl", "result-verbose.json"])
def test_a_stream_and_an_array_end_with_the_result(name: str) -> None:
    output = seen(recorded(name))
    assert (output.error, output.conversation_id, unpriced(unpriced(output.models))) == (None, STREAM, STREAM_USE)


def test_the_size_of_a_models_context_is_no_part_of_its_name() -> None:
    assert list(seen(recorded("result-error-max-turns.json")).models) == [OPUS]


def test_a_model_that_was_used_with_contexts_of_two_sizes_is_one_model() -> None:
    used = {OPUS: {"inputTokens": 1}, f"{OPUS}[1m]": {"inputTokens": 20}}
    output = seen(line(session_id="c", modelUsage=used))
    assert unpriced(output.models) == {OPUS: {"input": 21, "output": 0, "cache_read": 0, "cache_write": 0}}
    assert unpriced(output.tokens) == output.models[OPUS]


def test_of_several_turns_the_last_counts_and_several_conversations_are_added_up() -> None:
    output = seen(recorded("several-conversations.jsonl"))
    assert output.conversation_id == STREAM  # it has the last word
    assert unpriced(output.models) == {
        SONNET: {"input": 15, "output": 27, "cache_read": 100, "cache_write": 150},
        OPUS: {"input": 1001, "output": 2, "cache_read": 3, "cache_write": 4},
    }
    assert unpriced(output.tokens) == {"input": 1016, "output": 29, "cache_read": 103, "cache_write": 154}


def test_the_last_result_says_whether_there_is_an_error() -> None:
    error, success = recorded("result-api-error-529.json"), recorded("result-success.json")
    assert seen(error, success).error is None
    assert seen(success, error).error is not None


def test_of_several_attempts_the_last_one_tells_the_error_and_all_have_used_tokens() -> None:
    output = seen(line(session_id="c", is_error=True, result="no", usage={"input_tokens": 3}))
    output.begin()
    assert output.error is None
    output.feed(line(session_id="c", usage={"input_tokens": 4}))
    assert (output.error, output.conversation_id) == (None, "c")
    assert unpriced(output.tokens) == {"input": 7, "output": 0, "cache_read": 0, "cache_write": 0}


def test_what_an_attempt_has_left_unfinished_is_no_part_of_the_next() -> None:
    output, whole = ClaudeOutput(), line(session_id="c")
    output.begin()
    output.feed(whole[:20])
    output.begin()
    output.feed(whole[20:])
    assert found(output) == NOTHING


def test_without_model_usage_the_tokens_are_those_of_the_model_that_the_conversation_began_with() -> None:
    messages = [json.loads(text) for text in recorded("stream.jsonl").splitlines()]
    del messages[-1]["modelUsage"]
    output = seen(*(json.dumps(message).encode() + b"\n" for message in messages))
    assert unpriced(output.models) == {SONNET: {"input": 15, "output": 43, "cache_read": 12_044, "cache_write": 12_354}}
    assert output.tokens == output.models[SONNET]


def test_without_any_model_there_are_tokens_all_the_same() -> None:
    output = seen(line(session_id="c", usage={"input_tokens": 5, "output_tokens": 2}))
    assert unpriced(output.models) == {}
    assert unpriced(output.tokens) == {"input": 5, "output": 2, "cache_read": 0, "cache_write": 0}


def test_without_usage_tokens_are_unmeasured() -> None:
    assert found(seen(line(session_id="c"))) == (None, "c", {}, None)
    assert found(seen(line(session_id="c", usage={"premiumRequests": 1}, modelUsage={OPUS: {}}))) == (
        None,
        "c",
        {},
        None,
    )


@pytest.mark.parametrize(
    "result",
    [
        {
            "session_id": "c",
            "usage": {"input_tokens": 5195, "output_tokens": 545, "total_tokens": 5740},
            "num_turns": 3,
        },
        {"sessionId": "c", "exitCode": 0, "usage": {"premiumRequests": 0, "totalApiDurationMs": 39}},
    ],
)
def test_the_tokens_of_a_result_that_is_not_claudes_are_unmeasured(result: dict[str, Any]) -> None:
    """Of Qwen Code, whose input includes the cache, and of Copilot."""
    output = seen(json.dumps({"type": "result", **result}).encode())
    assert (output.error, output.models, output.tokens) == (None, {}, None)


def test_usage_of_several_turns_is_added_up() -> None:
    turns = [line(session_id="c", usage={"input_tokens": number}) for number in (5, 7)]
    assert unpriced(seen(*turns).tokens) == {"input": 12, "output": 0, "cache_read": 0, "cache_write": 0}


def test_how_long_the_cache_is_kept_is_reported_where_one_model_wrote_it() -> None:
    usage = {"cache_creation_input_tokens": 90, "cache_creation": {"ephemeral_1h_input_tokens": 80}}
    used = {OPUS: {"cacheCreationInputTokens": 100}, HAIKU: {"inputTokens": 1}}
    assert seen(line(usage=usage, modelUsage=used)).models[OPUS]["cache_write_1h"] == 80
    used[HAIKU]["cacheCreationInputTokens"] = 1
    assert "cache_write_1h" not in seen(line(usage=usage, modelUsage=used)).models[OPUS]


# Errors.


@pytest.mark.parametrize(
    ("name", "error", "outage"),
    [
        ("result-api-error-529.json", "API Error: 529 {", "overloaded"),
        ("result-rate-limit-429.json", "API Error: 429 You've hit your session limit · resets 3pm (UTC)", "rate_limit"),
        ("result-auth-error.json", "Invalid API key · Please run /login", "authentication"),
        ("result-error-max-turns.json", "Reached maximum number of turns (10)", None),
        ("result-error-during-execution.json", "No conversation found with session ID: ", None),
    ],
)
def test_an_error_is_reported_with_its_cause(name: str, error: str, outage: str | None) -> None:
    said = seen(recorded(name)).error
    assert said
    assert said.startswith(error)
    assert outage_of(None, said) == outage


@pytest.mark.parametrize(
    ("result", "error"),
    [
        ({"is_error": True, "result": "no"}, "no"),
        ({"is_error": True, "subtype": "error_during_execution"}, "error_during_execution"),
        ({"subtype": "error_max_turns"}, "error_max_turns"),
        ({"subtype": "error_max_turns", "errors": ["a", 1]}, "a; 1"),
        ({"is_error": True, "result": ["no"], "errors": "no", "subtype": 7}, "7"),
        ({"is_error": True, "result": "", "api_error_status": 500}, "API Error: 500 success"),
        ({"is_error": True, "result": "status 500", "api_error_status": 500}, "status 500"),
        ({"is_error": True, "result": "no", "api_error_status": None}, "no"),
        ({"is_error": True, "result": "x" * 600}, "x" * 500),
        ({"is_error": False, "result": "API Error: 529"}, None),
        ({"subtype": None}, None),
    ],
)
def test_what_a_failed_result_says_is_the_error(result: dict[str, Any], error: str | None) -> None:
    assert seen(line(**result)).error == error


# Output as it comes.


@pytest.mark.parametrize("name", sorted(path.name for path in RESULTS.iterdir() if path.is_file()))
def test_neither_the_missing_end_of_a_line_nor_another_kind_of_it_changes_anything(name: str) -> None:
    content = recorded(name)
    assert found(seen(content)) != NOTHING
    assert found(seen(content.rstrip(b"\n"))) == found(seen(content))
    assert found(seen(content.replace(b"\n", b"\r\n"))) == found(seen(content))


def test_text_around_a_result_is_let_go() -> None:
    content = recorded("result-success.json")
    output = seen(b'starting: "result"\n{not json "result"}\n\n  ', content, b"\xff\xfe\x00 done {\n")
    assert found(output) == found(seen(content))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"type":"result"',
        b'{"type":"result","session_id":"c"}}\n',
        b'prefix {"type":"result"}\n',
        b'"type":"result"\n',
        b'["result"]\n',
        b'[["result"], null, 7, "init"]\n',
        b'{"type":["result"]}\n',
        b'{"type":"assistant","message":"\\"result\\""}\n',
        b"[" * 100_000 + b'"result"',
        b'{"type":"result","n":' + b"9" * 5000 + b"}\n",
    ],
    ids=lambda content: content[:40].decode(),
)
def test_what_is_no_result_tells_nothing(content: bytes) -> None:
    assert found(seen(content)) == NOTHING


@pytest.mark.parametrize("cut", [1, 100, 400])
def test_a_truncated_result_tells_nothing(cut: int) -> None:
    assert found(seen(recorded("result-success.json").rstrip()[:-cut])) == NOTHING


def test_a_result_that_is_not_utf_8_is_read_as_far_as_it_can_be() -> None:
    output = seen(line(session_id="c", is_error=True, result="a!b").replace(b"!", b"\xff"))
    assert (output.conversation_id, output.error) == ("c", "a\ufffdb")


def test_half_a_surrogate_pair_can_be_recorded() -> None:
    output = seen(line(is_error=True, result="a\ud800b", session_id="\ud800", modelUsage={"\ud800": {}}))
    assert found(output) == ("a?b", None, {}, None)


@pytest.mark.parametrize("number", [None, True, -1, "7", [], {}, 10**20])
def test_what_is_no_number_of_tokens_counts_as_none(number: Any) -> None:
    used = seen(line(modelUsage={OPUS: {"inputTokens": number, "outputTokens": 2}})).models[OPUS]
    assert used == {"input": 0, "output": 2, "cache_read": 0, "cache_write": 0}
    assert (seen(line(usage={"input_tokens": number, "output_tokens": 2})).tokens or {})["output"] == 2


@pytest.mark.parametrize("value", [None, True, 7, "usage", [1], [{}]])
def test_usage_of_a_wrong_type_is_let_go(value: Any) -> None:
    assert found(seen(line(usage=value, modelUsage=value, session_id=value))) in (
        NOTHING,
        (None, "usage", {}, None),
    )
    output = seen(line(modelUsage={OPUS: value, HAIKU: {"inputTokens": 1}}))
    assert list(output.models) == [HAIKU]


def test_a_model_and_a_conversation_with_names_that_cannot_be_shown_are_not_named() -> None:
    output = seen(line(session_id="c" * 600, modelUsage={"a\nb": {"inputTokens": 3}, "": {"inputTokens": 4}}))
    assert (output.conversation_id, unpriced(output.models)) == (None, {})
    assert (output.tokens or {})["input"] == 7


def test_a_line_beyond_the_bound_is_not_kept_and_the_next_one_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    content = recorded("result-success.json")
    monkeypatch.setattr(claude_output, "LINE_BYTES", len(content) - 1)
    assert found(seen(content)) == found(seen(content.rstrip())) != NOTHING
    longer = content.replace(b"{", b'{"more":1,', 1)
    assert found(seen(longer)) == NOTHING
    assert found(seen(longer, content)) == found(seen(content))
    output = ClaudeOutput()
    for _ in range(100):
        output.feed(b"x" * 1000)
        assert len(output._line) < len(content)


def _chunks(content: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(content) + 1) for cut in cuts), len(content)]
    return [content[here:there] for here, there in pairwise(places)]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_uses = st.dictionaries(st.sampled_from(["inputTokens", "outputTokens", "input_tokens"]), _json)
_results = st.fixed_dictionaries(
    {"type": st.sampled_from(["result", "system"])},
    optional={
        "subtype": st.sampled_from(["success", "init", "error_max_turns"]) | _json,
        "is_error": st.booleans() | _json,
        "result": st.text() | _json,
        "errors": _json,
        "api_error_status": st.integers(400, 599) | _json,
        "session_id": st.sampled_from(["c1", "c2"]) | _json,
        "model": st.sampled_from([OPUS, f"{OPUS}[1m]"]) | _json,
        "usage": _uses | _json,
        "modelUsage": st.dictionaries(st.sampled_from([OPUS, HAIKU]) | st.text(), _uses | _json) | _json,
    },
)
_lines = st.one_of(
    _results.map(lambda result: json.dumps(result).encode()),
    st.lists(_results, max_size=3).map(lambda results: json.dumps(results).encode()),
    st.binary(),
    st.sampled_from([recorded("stream.jsonl"), recorded("result-auth-error.json"), b'{"result"', b'["init"']),
)
_outputs = st.lists(_lines, max_size=6).map(b"\n".join)


@given(_outputs, st.lists(st.integers(0, 10_000), max_size=8))
def test_whatever_comes_in_whatever_chunks_the_same_is_found(content: bytes, cuts: list[int]) -> None:
    assert found(seen(*_chunks(content, cuts))) == found(seen(content))


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_noise_before_a_result_hides_nothing(noise: bytes, cuts: list[int]) -> None:
    output = seen(*_chunks(noise + b"\n" + recorded("stream.jsonl"), cuts))
    assert (output.conversation_id, unpriced(unpriced(output.models))) == (STREAM, STREAM_USE)


# As a task.


@pytest.fixture
def execute(home: Home, capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., "tuple[int, bytes]"]:
    """Run a shell script as a task of AGENT; return its exit status and output."""

    def run(script: str, *options: str) -> tuple[int, bytes]:
        status = main(["exec", AGENT, "--home", home.folder, *options, "--", "sh", "-c", script])
        return status, capfdbinary.readouterr().out

    return run


Execute = Callable[..., "tuple[int, bytes]"]


def printing(name: str) -> str:
    return f"cat {shlex.quote(str(RESULTS / name))}"


def test_a_task_has_what_its_command_has_said(tracker: MetricTracker, execute: Execute) -> None:
    assert execute(printing("stream.jsonl")) == (0, recorded("stream.jsonl"))
    (event,) = tracker.get_history()
    assert (event["action"], event["conversation_id"], unpriced(event["models"])) == (
        "task_completed",
        STREAM,
        STREAM_USE,
    )
    assert event["tokens_used"] == sum(sum(used.values()) for used in STREAM_USE.values())
    agent = tracker.get_agent(AGENT)
    used = {
        name: (use["total"], use["input"], use["output"]) for name, use in agent["token_usage"].items() if use["total"]
    }
    assert used == {"sonnet": (24_456, 15, 43), "haiku": (411, 402, 9)}
    assert (agent["token_usage"]["sonnet"]["cache_read"], agent["token_usage"]["sonnet"]["cache_write"]) == (
        12_044,
        12_354,
    )
    assert sorted(agent["models"]) == [HAIKU, SONNET]


def session(
    number: int,
    model: str = OPUS,
    *,
    turn: "int | None" = None,
    conversation: str = STREAM,
    cost: "float | None" = None,
) -> str:
    """Return a command that tells of a session which has used so many tokens, those of its main agent in its `turn`."""
    usage = {"input_tokens": number if turn is None else turn}
    result = line(session_id=conversation, usage=usage, modelUsage={model: {"inputTokens": number, "costUSD": cost}})
    return f"echo {shlex.quote(result.decode().strip())}"


def run_of_a_hook(tracker: MetricTracker, number: int, conversation: str = STREAM, **known: Any) -> dict[str, Any]:
    """Record, and return, a sub-agent's run as the hooks do."""
    tokens = {"input": number}
    run_id = new_id()
    known = {"tokens": tokens, "models": {OPUS: tokens}, "conversation_id": conversation, "agent_id": run_id, **known}
    now = time.time()
    ended = event.task_ended(
        "sub.md", "success", now, run_id=run_id, started=format_timestamp(now), duration_seconds=1.0, **known
    )
    return tracker.gate.recorder.store.record([ended])[0]


def used_by(tracker: MetricTracker, agent: str = AGENT) -> list[int]:
    return [entry["tokens_used"] for entry in tracker.get_history(agent)]


def test_a_session_that_goes_on_is_counted_once(tracker: MetricTracker, execute: Execute) -> None:
    """From 2.1.332 on its sums go on, too."""
    for total in (12, 25, 40):
        execute(session(total, turn={12: 12, 25: 13, 40: 15}[total]))
    assert used_by(tracker) == [12, 13, 15]
    execute(session(7, conversation="another"))
    assert used_by(tracker)[-1] == 7


def test_a_session_whose_sums_begin_anew_with_each_process_is_counted_once(
    tracker: MetricTracker, execute: Execute
) -> None:
    for total in (12, 13, 5):
        execute(session(total))
    assert used_by(tracker) == [12, 13, 5]


def test_what_hooks_have_recorded_of_sub_agents_is_no_part_of_the_command(
    tracker: MetricTracker, execute: Execute, home: Home
) -> None:
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}; from tests.integrations.claude_code.test_claude_output import *;"
        f"run_of_a_hook(MetricTracker({home.document!r}), 29)"
    )
    hook = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}"
    execute(f"{hook}; {session(78 + 29, turn=78)}")
    execute(f"{hook}; {session(78 + 29 + 10 + 29, turn=10)}")
    assert (used_by(tracker), used_by(tracker, "sub.md")) == ([78, 10], [29, 29])
    assert tracker.get_token_summary()["opus"]["total"] == 78 + 29 + 10 + 29


def test_what_amends_a_run_is_taken_into_account(tracker: MetricTracker, execute: Execute) -> None:
    ended = run_of_a_hook(tracker, 29)
    now = {**ended, "id": "now", "tokens": {"input": 40}, "models": {HAIKU: {"input": 40}}, "tokens_used": 40}
    amended = amendment_of(ended, now)
    assert amended is not None
    tracker.gate.recorder.store.record([amended])
    execute(session(100))
    assert used_by(tracker) == [100]  # the run turned out to be one of another model
    execute(session(150, HAIKU, turn=10))
    assert used_by(tracker) == [100, 110]


def test_models_of_other_names_are_recognised_by_their_family_and_nothing_falls_below_0(
    tracker: MetricTracker, execute: Execute
) -> None:
    run_of_a_hook(tracker, 29, models={"opus": {"input": 29}})
    execute(session(40, turn=11))
    execute(session(30, turn=0))
    assert used_by(tracker) == [11, 0]


def test_an_answer_that_is_none_fails_the_task(tracker: MetricTracker, execute: Execute) -> None:
    result = line(session_id="c", stop_reason="refusal", result="")
    execute(f"echo {shlex.quote(result.decode().strip())}")
    (entry,) = tracker.get_history()
    assert (entry["action"], entry["error"]) == ("task_failed", UNANSWERED_BECAUSE["refusal"])


def test_a_model_that_the_caller_names_has_all_the_tokens(tracker: MetricTracker, execute: Execute) -> None:
    execute(printing("stream.jsonl"), "--model", "gpt-5")
    usage = tracker.get_agent(AGENT)["token_usage"]
    assert {name: use["total"] for name, use in usage.items() if use["total"]} == {"gpt-5": 24_867}


def test_a_result_that_is_an_error_fails_a_task_whose_command_ends_with_0(
    tracker: MetricTracker, execute: Execute
) -> None:
    assert execute(printing("result-error-max-turns.json"))[0] == 0
    (event,) = tracker.get_history()
    assert (event["action"], event["error"]) == ("task_failed", "Reached maximum number of turns (10)")
    assert event["tokens_used"] == 426_285
    assert tracker.get_agent_metrics(AGENT)["failures"] == 1


@pytest.mark.parametrize(
    ("name", "outage"),
    [
        ("result-api-error-529.json", "overloaded"),
        ("result-rate-limit-429.json", "rate_limit"),
        ("result-auth-error.json", "authentication"),
    ],
)
def test_an_outage_fails_the_task_but_not_the_agent(
    tracker: MetricTracker, execute: Execute, name: str, outage: str
) -> None:
    assert execute(f"{printing(name)}; exit 1")[0] == 1
    (event,) = tracker.get_history()
    assert (event["action"], event["environment_error"]) == ("task_failed", outage)
    state = tracker.get_agent_metrics(AGENT)
    assert (state["failures"], state["metrics"]["tasks_failed"]) == (0, 1)


def test_no_attempt_is_repeated_that_would_meet_the_same_closed_door(
    tracker: MetricTracker, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "_backoff", lambda _: 0.0)
    execute(f"{printing('result-auth-error.json')}; exit 1", "--retries", "3")
    (event,) = tracker.get_history()
    assert "attempts" not in event


def test_the_tokens_of_all_attempts_are_the_tasks(
    tracker: MetricTracker, execute: Execute, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(retry, "_backoff", lambda _: 0.0)
    monkeypatch.chdir(tmp_path)
    script = f"{printing('stream.jsonl')}; echo x >> tries; test $(wc -l < tries) -ge 3"
    assert execute(script, "--retries", "5") == (0, recorded("stream.jsonl") * 3)
    (event,) = tracker.get_history()
    assert (event["action"], event["attempts"], event["tokens_used"]) == ("task_completed", 3, 3 * 24_867)
    assert "error" not in event


def test_an_answer_is_never_taken_for_an_error() -> None:
    output = ClaudeOutput()
    line = {"type": "result", "subtype": "error_max_turns", "errors": ["Reached max turns"], "result": "my answer"}
    output.feed(json.dumps(line).encode())
    output.close()
    assert output.error == "Reached max turns"


# Costs.


def test_a_task_has_the_cost_that_its_command_reports(tracker: MetricTracker, execute: Execute) -> None:
    execute(printing("stream.jsonl"))
    (event,) = tracker.get_history()
    result = json.loads(recorded("stream.jsonl").splitlines()[-1])
    reported = {model: round(usage["costUSD"] * 1_000_000) for model, usage in result["modelUsage"].items()}
    assert event["reported_cost_micro_usd"] == reported
    assert {model: used[names.COST] for model, used in event["models"].items()} == reported
    assert event["tokens"][names.COST] == sum(reported.values())
    row = tracker.get_agent_metrics(AGENT)
    assert (row["cost_usd"], row["unpriced_tokens"]) == (sum(reported.values()) / 1_000_000, 0)


def test_what_is_recorded_of_a_conversation_is_subtracted_from_its_cost(
    tracker: MetricTracker, execute: Execute
) -> None:
    of_hook = {"input": 29, names.COST: 300, names.PRICED: 29}
    run_of_a_hook(tracker, 29, tokens=of_hook, models={OPUS: of_hook})
    execute(session(100, turn=71, cost=0.001))
    execute(session(150, turn=50, cost=0.0025))
    used = [entry["tokens"] for entry in tracker.get_history(AGENT)]
    assert used == [
        {"input": 71, names.COST: 700, names.PRICED: 71},
        {"input": 50, names.COST: 1500, names.PRICED: 50},
    ]
    assert [entry["reported_cost_micro_usd"] for entry in tracker.get_history(AGENT)] == [{OPUS: 1000}, {OPUS: 2500}]


def test_where_only_the_sum_of_a_session_is_reported_it_is_the_cost_of_all() -> None:
    output = seen(line(session_id="c", usage={"input_tokens": 5}), line(session_id="c", usage={"input_tokens": 2}))
    assert output.tokens == {
        "input": 7,
        "output": 0,
        "cache_read": 0,
        "cache_write": 0,
        names.COST: 100_000,
        names.PRICED: 7,
    }
    assert output.reported_cost == 100_000


def test_a_reported_cost_of_nothing_is_no_price_and_other_programs_report_none() -> None:
    nothing = {OPUS: {"inputTokens": 5, "costUSD": 0}, HAIKU: {"inputTokens": 5}}
    output = seen(line(session_id="c", total_cost_usd=0, usage={"input_tokens": 10}, modelUsage=nothing))
    assert all(names.COST not in used and names.PRICED not in used for used in output.models.values())
    assert output.reported_cost == {OPUS: 0}
    assert seen(b'{"type": "result", "usage": {"input_tokens": 3}}').reported_cost is None
