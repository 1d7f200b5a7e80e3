"""The past, read from transcripts: over trees with a known truth the difference is 0, and what is read once is what hooks read."""

import json
import os
import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from otel_tracker import names
from otel_tracker.integrations.claude_code.past.history import PastHistory, read_history
from otel_tracker.integrations.claude_code.past.transcript_files import transcript_files
from otel_tracker.integrations.claude_code.past.usage_parts import parts_of_history
from otel_tracker.integrations.claude_code.runs.run import run_id_of
from otel_tracker.integrations.claude_code.transcripts.lines import part
from otel_tracker.integrations.claude_code.transcripts.transcript_reader import read_transcript
from otel_tracker.integrations.claude_code.transcripts.usage import TranscriptUsage
from otel_tracker.reporting.aggregate import aggregate
from otel_tracker.reporting.window import Window
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.state.shapes import Tokens
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.price_file import price_table
from tests.integrations.claude_code.trees import MODELS, Request, Truth, double, link_projects, write_tree

NOW = 1_790_000_000.0


def cost(model: str, tokens: Mapping[str, int], at: float, *, speed: str | None) -> int | None:
    """Price a request in a way that each of its facts changes, as no sum of tokens could be priced afterwards."""
    if model == MODELS[-1]:
        return None
    prompt = tokens.get("input", 0) + tokens.get("cache_read", 0) + tokens.get("cache_write", 0)
    tier = 2 if prompt > 100_000 else 1
    for_an_hour = tokens.get("cache_write_1h", 0)
    new = tokens.get("input", 0) + 5 * tokens.get("output", 0) + tokens.get("cache_write", 0) + for_an_hour
    return (
        (new + int(tokens.get("cache_read", 0)) // 10)
        * tier
        * (2 if speed == "fast" else 1)
        * (1 + MODELS.index(model))
    )


def read(truth: Truth, *paths: Path) -> PastHistory:
    return read_history(map(str, paths or truth.roots), NOW, cost, lambda agent_type, _: agent_type)


def tokens_of_main(history: PastHistory) -> Counter[tuple[str, str]]:
    total: Counter[tuple[str, str]] = Counter()
    for _, request in history.requests:
        for share in request.shares():
            add(total, share.model, share.tokens)
    return +total


def tokens_of_runs(history: PastHistory) -> Counter[tuple[str, str]]:
    total: Counter[tuple[str, str]] = Counter()
    for run in history.runs:
        for model, tokens in ((run.end or {}).get("models") or {}).items():
            add(total, model, tokens)
    return +total


def tokens_of_ends(history: PastHistory) -> dict[str, dict[str, Tokens]]:
    ends = [run.end for run in history.runs if run.end is not None]
    return {
        end["run_id"]: {model: only_tokens(tokens) for model, tokens in (end.get("models") or {}).items()}
        for end in ends
    }


def only_tokens(tokens: Tokens) -> Tokens:
    return {kind: number for kind, number in tokens.items() if kind in names.TOKEN_KEYS}


def add(total: Counter[tuple[str, str]], model: str, tokens: Tokens) -> None:
    for kind, number in only_tokens(tokens).items():
        total[model, kind] += number


def outcomes(history: PastHistory) -> Counter[tuple[str, str]]:
    ends = [run.end for run in history.runs if run.end is not None]
    return Counter((end["agent"], names.OUTCOMES[end["action"]]) for end in ends)


def micro_dollars(history: PastHistory) -> int:
    shares = [share for _, request in history.requests for share in request.shares()]
    of_main = sum(cost(share.model, share.tokens, share.at, speed=share.speed) or 0 for share in shares)
    models = [(run.end or {}).get("models") or {} for run in history.runs]
    of_runs: int = sum(tokens.get(names.COST, 0) for shares in models for tokens in shares.values())
    return of_main + of_runs


def true_micro_dollars(requests: list[Request]) -> int:
    return sum(cost(one.model.partition("[")[0], one.tokens, one.at, speed=one.speed) or 0 for one in requests)


def check(truth: Truth, history: PastHistory) -> None:
    assert outcomes(history) == truth.outcomes()
    assert tokens_of_main(history) == truth.tokens(truth.main())
    assert tokens_of_runs(history) == truth.tokens(one for one in truth.requests if one.run is not None)
    assert micro_dollars(history) == true_micro_dollars(truth.requests)
    assert tokens_of_ends(history) == {
        run_id_of(run.session_id, run.launch): by_model(run.requests) for run in truth.runs
    }
    assert {run.end["project"] for run in history.runs if run.end} == {run.project for run in truth.runs}


def by_model(requests: list[Request]) -> dict[str, Tokens]:
    models: dict[str, Tokens] = {}
    for request in requests:
        model = request.model.partition("[")[0]
        models[model] = names.added_tokens(models.get(model, {}), request.tokens)
    return models


@pytest.mark.parametrize("seed", range(12))
def test_nothing_is_missed_and_nothing_counted_twice(tmp_path: Path, seed: int) -> None:
    truth = write_tree(tmp_path / "claude", seed, NOW, sessions=3)
    history = read(truth)
    check(truth, history)
    assert history.unreadable == truth.unreadable


@pytest.mark.parametrize("seed", [101, 102])
def test_links_and_a_doubled_tree_add_nothing(tmp_path: Path, seed: int) -> None:
    truth = write_tree(tmp_path / "claude", seed, NOW, sessions=3)
    double(truth, tmp_path / "copy")
    link_projects(truth)
    check(truth, read(truth))
    check(truth, read(truth, tmp_path / "copy", tmp_path / "claude" / "projects"))


def test_a_link_that_leads_back_is_not_followed(tmp_path: Path) -> None:
    inside = tmp_path / "claude" / "projects" / "one"
    inside.mkdir(parents=True)
    (tmp_path / "elsewhere.jsonl").touch()
    (inside / "up").symlink_to(tmp_path, target_is_directory=True)
    (inside / "s.jsonl").touch()
    assert [file.path for file in transcript_files([str(tmp_path / "claude")])] == [str(inside / "s.jsonl")]


def test_old_files_are_left_out(tmp_path: Path) -> None:
    truth = write_tree(tmp_path / "claude", 5, NOW, sessions=2)
    for path in tmp_path.rglob("*.jsonl"):
        os.utime(path, (NOW - 1e6, NOW - 1e6))
    assert transcript_files([str(truth.roots[0])], NOW - 1e5) == []


@pytest.mark.parametrize("seed", [7, 8, 9])
def test_an_agents_transcript_is_read_as_a_hook_reads_it(tmp_path: Path, seed: int) -> None:
    truth = write_tree(tmp_path / "claude", seed, NOW, sessions=2)
    ends = {run.end["agent_id"]: run.end for run in read(truth).runs if run.end and "agent_id" in run.end}
    compared = 0
    for path in tmp_path.rglob("agent-*.jsonl"):
        end = ends.get(path.stem.removeprefix("agent-"))
        if end is None or end["agent"] == "fork" or len(list(tmp_path.rglob(path.name))) > 1:
            continue  # helpers, and what only the whole tree tells
        transcript = read_transcript(str(path))
        assert transcript is not None
        assert end["started"] == format_timestamp(transcript.started or 0.0)
        if end["action"] == names.TASK_COMPLETED:
            worked = (transcript.ended or 0.0) - (transcript.started or 0.0) - transcript.idle_seconds
            assert end["duration_seconds"] == pytest.approx(worked, abs=1e-5)
        models = {model: only_tokens(tokens) for model, tokens in (end.get("models") or {}).items()}
        assert models == transcript.models
        assert end.get("usage_incomplete", False) is transcript.is_incomplete
        assert end.get("skipped_lines", 0) == transcript.skipped
        assert end.get("claude_code_version") == transcript.version
        compared += 1
    assert compared > 10


def record(**fields: object) -> dict[str, object]:
    return {"type": "assistant", "isSidechain": False, "timestamp": "2026-09-01T12:00:00.000Z", "cwd": "/p", **fields}


def answer(message: str, request: str | None, output: object, **usage: object) -> dict[str, object]:
    counts = {"input_tokens": 1, "output_tokens": output, **usage}
    body = {"id": message, "role": "assistant", "model": "claude-opus-4-8", "content": [], "usage": counts}
    return record(requestId=request, message={**body, "stop_reason": "end_turn"})


@pytest.mark.parametrize("output", [3.0, "3", None, -1, True, [], 2**60])
def test_numbers_that_are_none_count_as_a_hook_counts_them(tmp_path: Path, output: object) -> None:
    line = answer("m1", "r1", output, cache_creation={"ephemeral_1h_input_tokens": 5, "ephemeral_2h_input_tokens": 7})
    hooks = TranscriptUsage()
    hooks.add(line, part(line, "message"), NOW)
    (tmp_path / "s.jsonl").write_text(json.dumps(line))
    assert tokens_of_main(read_only(tmp_path)) == +Counter(
        {(model, kind): number for model, tokens in hooks.by_model().items() for kind, number in tokens.items()}
    )


def read_only(path: Path) -> PastHistory:
    return read_history([str(path)], NOW, cost_of_any, lambda agent_type, _: agent_type)


def test_a_run_costs_what_a_hook_reads_in_its_transcript(tmp_path: Path) -> None:
    by_list_price = price_table(Home(os.fspath(tmp_path)), Files()).cost
    advice = {"type": "advisor_message", "model": "claude-haiku-5-5", "input_tokens": 100_001, "output_tokens": 1}
    usages: list[dict[str, object]] = [
        {"speed": "fast"},
        {"speed": "standard", "cache_creation": {"ephemeral_1h_input_tokens": 5, "ephemeral_5m_input_tokens": 7}},
        {"speed": 7, "cache_creation_input_tokens": 300},
        {"speed": "odd"},
        {"iterations": [advice]},
        {"input_tokens": 300_000},
    ]
    lines = [answer(f"m{n}", f"r{n}", 40, **usage) for n, usage in enumerate(usages)]
    lines += [{**answer("m0", "r0", 90), "timestamp": "2026-09-02T12:00:00.000Z"}]  # another record of the first answer
    lines += [{**answer("old", "old", 1), "timestamp": None}, {**answer("next", "next", 1)}]
    lines[-1]["message"] = {**part(lines[-1], "message"), "model": "claude-next-9"}
    path = tmp_path / "s" / "subagents" / "agent-a1.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps({**line, "isSidechain": True, "agentId": "a1"}) + "\n" for line in lines))
    path.with_suffix(".meta.json").write_text('{"agentType": "coder"}')
    (tmp_path / "s.jsonl").write_text("")
    for each in (path, tmp_path / "s.jsonl"):
        os.utime(each, (NOW - 9000, NOW - 9000))
    (run,) = read_history([str(tmp_path)], NOW, by_list_price, lambda agent_type, _: agent_type).runs
    hook = read_transcript(str(path), cost=by_list_price)
    assert run.end is not None
    assert hook is not None
    assert run.end["models"] == hook.models
    priced = {model: names.PRICED in tokens for model, tokens in hook.models.items()}
    assert priced == {"claude-opus-4-8": True, "claude-haiku-5-5": True, "claude-next-9": False}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_side_questions_copy_counts_nowhere_whichever_file_is_older(tmp_path: Path, order: tuple[int, int]) -> None:
    helper = tmp_path / "s" / "subagents" / "agent-aside_question-1.jsonl"
    helper.parent.mkdir(parents=True)
    files = [tmp_path / "s.jsonl", helper]
    files[0].write_text(json.dumps(answer("m1", "r1", 40)))
    files[1].write_text(json.dumps({**answer("m1", "r2", 90), "isSidechain": True, "agentId": "aside_question-1"}))
    for age, which in enumerate(order):
        os.utime(files[which], (NOW - 9000 - age, NOW - 9000 - age))
    assert tokens_of_main(read_only(tmp_path)) == Counter(
        {("claude-opus-4-8", "input"): 1, ("claude-opus-4-8", "output"): 40}
    )


@pytest.mark.parametrize(
    "line",
    [
        b'{"message":{"content":[{"type":"tool_use","input":{"role":"user"}}],"role":"assistant",%b},"type":"assistant"}',
        b'\xef\xbb\xbf{"type":"assistant","message":{"role":"assistant",%b}}',
        b'{ "type" : "assistant" , "message" : { "role" : "assistant" , %b } }',
        b'{"toolUseResult":{"role":"user"},"type":"assistant","message":{"role":"assistant",%b}}',
        b'{"type":"assistant","message":{"role":"assistant",%b,"content":[{"type":"text","text":"\xff\xfe"}]}}',
        b'{"type":"assistant","message":{"role":"assistant",%b,"content":[{"type":"text","text":"\\ud800"}]}}',
    ],
)
def test_answers_are_found_however_their_json_is_written(tmp_path: Path, line: bytes) -> None:
    usage = b'"id":"m1","model":"claude-opus-4-8","usage":{"output_tokens":7}'
    (tmp_path / "s.jsonl").write_bytes(line % usage + b"\r\n")
    assert tokens_of_main(read_only(tmp_path)) == Counter({("claude-opus-4-8", "output"): 7})


def test_a_transcript_of_no_ordinary_file_is_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "s.jsonl")
    (tmp_path / "t.jsonl").symlink_to(tmp_path / "nowhere")
    assert read_only(tmp_path).requests == []


def spoilt(value: object, rng: random.Random) -> object:
    """Return a JSON value in which some keys are missing, and some values are of another type."""
    if rng.random() < 0.02:
        return rng.choice([None, -1, 1.5, "", [], {}, True, "x" * 700, {"a": 1}, [[]], "\ud800", 10**30])
    if isinstance(value, dict):
        return {key: spoilt(inner, rng) for key, inner in value.items() if rng.random() > 0.01}
    return [spoilt(inner, rng) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("seed", range(3))
def test_nothing_in_a_file_can_raise(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - no secret
    write_tree(tmp_path, seed, NOW, sessions=2)
    for path in (path for path in tmp_path.rglob("*.json*") if not path.is_symlink()):
        lines = path.read_bytes().split(b"\n")
        for number, line in enumerate(lines):
            if line.startswith(b"{") and line.endswith(b"}") and rng.random() < 0.3:
                lines[number] = json.dumps(spoilt(json.loads(line.decode("utf-8", "replace")), rng)).encode()
            elif line and rng.random() < 0.03:
                lines[number] = line.replace(line[rng.randrange(len(line)) :][:1], bytes([rng.randrange(256)]), 1)
        path.write_bytes(b"\n".join(lines))
    history = read_only(tmp_path)
    assert aggregate(parts_of_history(history, cost_of_any, Window()), ("agent", "day"), Window()).rows


def cost_of_any(model: str, tokens: Mapping[str, int], at: float, *, speed: str | None) -> int | None:
    return names.total_tokens(tokens)
