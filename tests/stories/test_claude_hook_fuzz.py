"""Whatever a hook gets on standard input: nothing, or a denial, on standard output, and never an exception."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_tracker.integrations.claude_code.hooks.hook import hook
from tests.builders import json_values
from tests.stories.documented import DOCUMENTED, NOTIFICATION
from tests.stories.payloads import NEWEST, seen
from tests.stories.replay import everything_under, prepare
from tests.stories.transcript_of_agent import MODEL

pytestmark = pytest.mark.thorough

PAYLOADS = [*DOCUMENTED.values(), NOTIFICATION, *seen(NEWEST).payloads.values()]
_NASTY: tuple[Any, ...] = (
    None,
    True,
    -1,
    10**400,
    1e308,
    [],
    {},
    "",
    " ",
    "x" * 100_000,
    "\ud800",
    "a\0b",
    "../../../../escaped",
    "/etc/passwd",
    "~root/x",
    "a\nb",
    "é" * 201,
    [[[[{}]]]],
    "<task-notification><task-id>../../x</task-id><status>completed</status></task-notification>",
    "<task-notification>" * 50,
)


def places_in(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where in a JSON value something stands."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        yield (*above, key)
        yield from places_in(part, (*above, key))


@st.composite
def nearly_documented(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a documented payload of which some parts are missing, of another type, nested deeper or huge."""
    payload: dict[str, Any] = deepcopy(draw(st.sampled_from(PAYLOADS)))
    payload["session_id"] = draw(st.sampled_from(["abc123", "abc124"]))
    for _ in range(draw(st.integers(1, 4))):
        *above, last = draw(st.sampled_from(list(places_in(payload)) or [("hook_event_name",)]))
        holder: Any = payload
        for key in above:
            holder = holder[key]
        match draw(st.sampled_from(["drop", "nest", "nasty", "any"])):
            case "drop":
                del holder[last]
            case "nest":
                holder[last] = {str(last): holder[last]}
            case "nasty":
                holder[last] = deepcopy(draw(st.sampled_from(_NASTY)))
            case _:
                holder[last] = deepcopy(draw(json_values))
    return payload


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Path]:
    """Return a folder with a home in it, out of which nothing may be written, and the transcripts of a session."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        prepare(place / "a" / "b" / "home")
        (place / "a" / "b" / "abc123").mkdir()
        (place / "a" / "b" / "abc123.jsonl").write_text("{}\n")
        yield place


def answer_of(data: bytes, sandbox: Path, **options: bool) -> str:
    """Return the hook's answer, after looking at whether it may be one, and at what is written where."""
    home = sandbox / "a" / "b" / "home"
    before = outside(sandbox)
    answer = hook(data, os.fspath(home), **options)
    assert outside(sandbox) == before
    if answer:
        (key,), output = json.loads(answer), json.loads(answer)["hookSpecificOutput"]
        assert key == "hookSpecificOutput"
        assert output["hookEventName"] == "PreToolUse"
        assert output["permissionDecision"] == "deny"
        assert isinstance(output["permissionDecisionReason"], str)
    return answer


def outside(sandbox: Path) -> dict[str, bytes]:
    return everything_under(sandbox, but=sandbox / "a" / "b" / "home")


def surprises(sandbox: Path) -> list[str]:
    """Return the errors that nobody has thought of, by the home's log."""
    log = sandbox / "a" / "b" / "home" / "claude-code" / "hook.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return [line for line in lines if re.search(r" error: (?!PayloadError)", line)]


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(payload=nearly_documented(), is_closed=st.booleans())
def test_any_payload_is_survived_without_a_surprise(payload: Any, is_closed: bool, sandbox: Path) -> None:
    payload["transcript_path"] = payload.get("transcript_path", str(sandbox / "a" / "b" / "abc123.jsonl"))
    answer_of(json.dumps(payload).encode(), sandbox, is_closed_on_doubt=is_closed)
    assert surprises(sandbox) == []


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_survived(data: bytes, sandbox: Path) -> None:
    assert answer_of(data, sandbox) == ""


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payload=st.sampled_from(PAYLOADS), cut=st.floats(0, 1), noise=st.binary(max_size=4))
def test_a_payload_that_is_cut_off_or_torn_is_survived(payload: Any, cut: float, noise: bytes, sandbox: Path) -> None:
    data = json.dumps(payload).encode()
    at = int(cut * len(data))
    assert answer_of(data[:at] + noise, sandbox) == ""
    assert answer_of(data[:at] + noise + data[at:], sandbox) == ""


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: payload["hook_event_name"])
def test_ten_megabytes_are_survived(payload: Any, sandbox: Path) -> None:
    huge = {**payload, "prompt": "x" * 10_000_000, "tool_response": ["y" * 1000] * 10_000}
    assert answer_of(json.dumps(huge).encode(), sandbox) == ""


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: payload["hook_event_name"])
def test_deep_nesting_is_survived(payload: Any, sandbox: Path) -> None:
    data = json.dumps(payload).encode()
    for deep in (b"[" * 100_000, b'{"a":' * 100_000, b"[" * 500 + b"]" * 500):
        assert answer_of(data[:-1] + b',"tool_input":' + deep + b"}", sandbox) == ""


_RECORDS = st.lists(
    st.sampled_from(
        [
            {"type": "user", "message": {"role": "user", "content": "x"}, "toolUseResult": {"status": "completed"}},
            {
                "type": "assistant",
                "requestId": "r",
                "message": {"id": "m", "model": MODEL, "usage": {"input_tokens": 1}},
            },
            {"type": "attachment", "attachment": {"type": "task_status", "taskId": "a1", "status": "failed"}},
            {"type": "user", "toolDenialKind": "interrupted", "message": {"content": [{"type": "tool_result"}]}},
        ]
    )
    | json_values,
    max_size=4,
)


@pytest.mark.usefixtures("flushed")
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(records=_RECORDS, key=st.sampled_from(["message", "usage", "content", "timestamp", "type"]), value=json_values)
def test_any_transcript_is_survived_without_a_surprise(records: Any, key: str, value: Any, sandbox: Path) -> None:
    changed = [{**record, key: value} if isinstance(record, dict) else record for record in records]
    text = "".join(json.dumps(record) + "\n" for record in (*records, *changed))
    with tempfile.TemporaryDirectory(dir=sandbox) as name:
        folder = Path(name)
        (folder / "s" / "subagents").mkdir(parents=True)
        for file in ("s.jsonl", "s/subagents/agent-a1.jsonl"):
            (folder / file).write_text(text)
        sidecar = {"toolUseId": value, "agentType": value}
        (folder / "s" / "subagents" / "agent-a1.meta.json").write_text(json.dumps(sidecar))
        for payload in _life_of_an_agent(folder):
            assert answer_of(json.dumps(payload).encode(), sandbox) == ""
    assert surprises(sandbox) == []


def _life_of_an_agent(folder: Path) -> list[dict[str, Any]]:
    session = {"session_id": folder.name, "transcript_path": str(folder / "s.jsonl")}
    launched = {"status": "async_launched", "agentId": "a1"}
    return [
        {**DOCUMENTED["PostToolUse"], **session, "tool_response": launched},
        {**DOCUMENTED["SubagentStop"], **session, "agent_id": "a1", "agent_transcript_path": None},
        {**DOCUMENTED["Stop"], **session, "background_tasks": []},
        {**DOCUMENTED["SessionEnd"], **session},
    ]


@pytest.mark.processes
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"not json",
        b"\xff\xfe",
        b"[1, 2]",
        b"null",
        b'{"hook_event_name": 7}',
        b'{"hook_event_name": "EventOfTheFuture", "session_id": "s"}',
        b'{"hook_event_name": "PreToolUse", "tool_name": "Agent"}',
        b'{"hook_event_name": "SessionEnd", "session_id": "../../x", "transcript_path": "/"}',
        b"[" * 200_000,
        json.dumps({**DOCUMENTED["PostToolUse"], "agent_id": "x" * 10_000_000}).encode(),
        json.dumps(DOCUMENTED["PostToolUse"]).encode(),
        json.dumps({**NOTIFICATION, "prompt": "\ud800"}).encode(),
    ],
    ids=range(14),
)
def test_the_command_exits_with_0_and_says_nothing(data: bytes, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "otel_tracker", "claude-code", "hook", "--home", os.fspath(tmp_path / "home")]
    done = subprocess.run(command, input=data, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.processes
def test_the_command_exits_with_0_where_standard_input_is_closed(tmp_path: Path) -> None:
    command = f"{sys.executable} -m otel_tracker claude-code hook --home {tmp_path / 'home'} <&-"
    done = subprocess.run(command, shell=True, capture_output=True, check=False, timeout=60)  # noqa: S602 - to close it
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
