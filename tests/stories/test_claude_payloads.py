"""What the program itself was seen to send: the hook takes all of it, and the stories are told in its shapes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from otel_tracker import names
from otel_tracker.integrations.claude_code.settings.registration import HOOKS
from tests.stories.payloads import NEWEST, OLDEST, VERSIONS, Payload, seen
from tests.stories.replay import STORIES, Ended, Story, compare, expected, play, read, reconcile, said, send
from tests.stories.stories import each_story, told

pytestmark = pytest.mark.thorough

REGISTERED = {hook.event for hook in HOOKS}
ALL = [(version, name) for version in VERSIONS for name in seen(version).payloads]
# The failures that no agent is to blame for, beside those that count for its breaker.
OUTAGES = ("authentication_failed", "billing_error", "rate_limit")
# The stories that send what no version was seen to send, and why they are told all the same.
UNSEEN = {
    "launched_elsewhere": "an agent in the cloud needs an account",
    "string_that_tells_an_error_is_failed": "a result that is a text is documented",
    "agent_type_that_does_not_exist_is_failed_under_one_key": "a result that is a text is documented",
    "to_do_items_and_unknown_events_are_no_runs": "a user may register the hook for another tool",
    "subagent_stop_with_a_fresh_id_and_no_type": "Claude Code's own agents may have no transcript",
    "run_without_a_transcript_is_unmeasured": "an agent may have no transcript",
    "workflow_agent_whose_path_nobody_tells": "an agent's transcript may lie elsewhere",
    "main_turn_that_dies_of_an_outage_says_nothing_of_a_run_that_has_ended": "it names no agent; none such was kept",
}
# The stories of a tool's call that fails after its agent came into being: the oldest version sends no such event, and its
# sidecars don't name the call.
NOT_OF_THE_OLDEST = {
    "failure_of_a_tool_call_is_failed",
    "failure_that_only_its_event_tells_is_failed",
    "interrupt_that_the_transcript_shows_as_an_error_is_cancelled",
    "string_that_tells_an_error_is_failed",
    "failed_and_cancelled_runs_have_tokens_too",
}


@pytest.mark.parametrize(("version", "name"), ALL)
def test_what_is_recorded_is_what_a_payload_says(version: str, name: str, tmp_path: Path) -> None:
    payload = seen(version).payloads[name]
    assert send(payload, tmp_path) == ""
    assert not (tmp_path / "claude-code" / "hook.log").exists()
    ended, running = _ended_by(name, payload), _running_after(name, payload)
    assert said(tmp_path, has_breaker=False) == {**expected(ended, has_breaker=False), "in_flight": len(running)}
    if running:
        assert [task["agent"] for task in read(tmp_path).head["in_flight"].values()] == running


def _ended_by(name: str, payload: Payload) -> list[Ended]:
    if name.startswith("PostToolUse.Agent.completed"):
        return [Ended(agent=payload["tool_response"]["agentType"], models={})]
    if name == "PostToolUseFailure.Agent.unknown_type":
        return [Ended(names.FAILURE, "unknown", models={})]
    return []


def _running_after(name: str, payload: Payload) -> list[str]:
    """Return the agents that have come into being, and of which a later event tells the end."""
    event, _, special = name.partition(".")
    if event in ("SubagentStart", "SubagentStop", "StopFailure") and special != "empty_type":
        return [payload["agent_type"]]
    has_id = special == "Agent.teammate_spawned" and "agentId" in payload["tool_response"]
    return [payload["tool_input"]["subagent_type"]] if has_id else []


@pytest.mark.usefixtures("flushed")
@pytest.mark.parametrize(("version", "name"), [(version, name) for version, name in ALL if "StopFailure" in name])
def test_a_turn_that_broke_off_is_a_failure_where_nothing_else_tells_of_it(
    version: str, name: str, tmp_path: Path
) -> None:
    payloads = seen(version).payloads
    for payload in (payloads[name], payloads["SessionEnd.other"]):
        assert send(payload, tmp_path) == ""
    failures = 0 if name.partition(".")[2] in OUTAGES else 1
    ended = Ended(names.FAILURE, payloads[name]["agent_type"], models={}, failures=failures)
    assert said(tmp_path) == expected([ended])


@pytest.mark.processes
@pytest.mark.parametrize("name", seen(NEWEST).payloads)
def test_the_command_takes_a_payload_in_silence(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "otel_tracker", "claude-code", "hook", "--home", os.fspath(tmp_path)]
    data = json.dumps(seen(NEWEST).payloads[name]).encode()
    done = subprocess.run(command, input=data, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@each_story
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_a_story_consists_of_shapes_that_were_seen(story: Story, version: str, tmp_path: Path) -> None:
    session, _ = told(story, tmp_path, version)
    shapes = [_shape(payload) for later in VERSIONS for payload in seen(later).payloads.values()]
    hooked = [step for step in session.steps if step.event in REGISTERED]
    unseen = [step.event for step in hooked if _shape(step.payload) not in shapes]
    assert bool(unseen) == (story.__name__ in UNSEEN), unseen


def _shape(value: Any) -> Any:
    """Return the names and types in a value, in their order; what Claude asks a tool for is Claude's own."""
    if isinstance(value, dict):
        return [(key, dict if key == "tool_input" else _shape(inner)) for key, inner in value.items()]
    return type(value)


@pytest.mark.usefixtures("flushed")
@pytest.mark.parametrize("name", sorted(STORIES.keys() - NOT_OF_THE_OLDEST))
def test_a_story_in_the_shapes_of_the_oldest_version(name: str, tmp_path: Path) -> None:
    session, told_of = told(STORIES[name], tmp_path, OLDEST)
    play(session.steps, tmp_path)
    reconcile(session, tmp_path)
    compare(tmp_path, told_of, has_breaker=True)
