"""What the main conversation of a session uses is counted once, apart from agents, whatever becomes of its hooks and its file."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from otel_tracker import names
from otel_tracker.cli import main
from otel_tracker.state.shapes import Event, Tokens
from otel_tracker.storage.home import Home
from otel_tracker.storage.price_file import cost_in
from otel_tracker.storage.store import Store
from tests.faults.steps import survives
from tests.stories.asking import Wait
from tests.stories.harness import Session
from tests.stories.replay import CODER, play, prepare, read, write
from tests.stories.test_claude_processes import hook_process
from tests.stories.transcript_of_agent import FIRST, LAST, MODEL, WORK, text_block, usage

_numbers = count(1)


class Talk(Session):
    """A session that works, with a transcript whose records are from now on."""

    def __init__(self, home: Path, session_id: "str | None" = None) -> None:
        super().__init__(session_id)
        self.home, self.now = home, time.time() + 5

    def says(self, tokens: Tokens, stop: "str | None" = "end_turn", message: "str | None" = None, **fields: Any) -> str:
        """Write a record of an answer, and return the id of that answer."""
        message = message or f"msg_{next(_numbers)}"
        body = {
            "id": message,
            "role": "assistant",
            "model": fields.pop("model", MODEL),
            "content": [text_block("I say.")],
            "stop_reason": stop,
            "usage": usage(tokens),
        }
        fields = {"isSidechain": False, "requestId": f"req_{message}", **fields}
        self.record(fields.pop("path", self.transcript), "assistant", message=body, **fields)
        return message

    def works(self) -> "Talk":
        """Write a turn of two requests, the first of which has two records."""
        self.tells("Do it.")
        message = self.says({**FIRST, "output": 1}, None)
        self.says(FIRST, "tool_use", message)
        self.tells([{"type": "tool_result", "tool_use_id": "t", "content": 'quotes "assistant"'}])
        self.says(LAST)
        return self

    def goes_on(self) -> "Talk":
        """Play what has been told so far."""
        play(self.steps, self.home)
        write(self.written())
        self.steps.clear()
        self.written().clear()
        return self

    def turns(self) -> "Talk":
        self.asks()
        self.goes_on()
        self.works().stops()
        return self.goes_on()


@pytest.fixture
def talk(tmp_path: Path) -> Talk:
    """Return a session that has just begun."""
    talk = Talk(tmp_path)
    talk.starts()
    return talk.goes_on()


def counted(home: Path) -> Any:
    return read(home).main_conversation


def tokens(home: Path) -> "dict[str, int]":
    """Return the tokens of the only model by type."""
    use = counted(home)["models"].get(MODEL, {})
    return {kind: use.get(kind, 0) for kind in FIRST}


def events(home: Path) -> list[Event]:
    return [event for batch in Store(Home(os.fspath(home))).events_after(0) for event in batch]


def times(number: int, tokens: Tokens = WORK) -> Tokens:
    return {kind: number * tokens[kind] for kind in tokens}


def watched(home: Path) -> list[Path]:
    return sorted((home / "claude-code" / "watched").glob("*"))


def test_a_turn_is_counted_when_it_ends(talk: Talk) -> None:
    talk.turns()
    assert tokens(talk.home) == WORK
    talk.turns()
    assert tokens(talk.home) == times(2)
    first, second = events(talk.home)
    assert first["timestamp"] == second["started"]
    assert (first["agent"], first["conversation_id"], first["project"]) == (None, talk.session_id, "/project")
    cost = cost_in(Home("/none"))
    of_turn = sum(cost(MODEL, request, talk.now, speed=None) or 0 for request in (FIRST, LAST))
    assert first["models"][MODEL]["cost_micro_usd"] == of_turn
    use = counted(talk.home)["models"][MODEL]
    assert (use["cost_micro_usd"], use["priced"]) == (2 * of_turn, use["total"])
    assert read(talk.home).agents == {}


def test_a_turn_that_an_error_has_ended_counts_what_came_before_it(talk: Talk) -> None:
    talk.works().says({}, "stop_sequence", model="<synthetic>", isApiErrorMessage=True, error="server_error")
    talk.breaks_off("server_error")
    talk.goes_on()
    assert tokens(talk.home) == WORK


def test_what_comes_after_the_last_turn_counts_at_the_end_of_the_session(talk: Talk) -> None:
    talk.turns().works().is_over()
    talk.goes_on()
    assert tokens(talk.home) == times(2)
    assert watched(talk.home) == []
    document = json.loads((talk.home / "config" / "circuit-breaker.json").read_bytes())
    assert document["main_conversation"]["models"][MODEL]["total"] == sum(times(2).values())


def test_a_session_counts_from_its_first_event_on(tmp_path: Path) -> None:
    talk = Talk(tmp_path)
    talk.works().stops()
    talk.goes_on()
    assert events(tmp_path) == []
    talk.turns()
    assert tokens(tmp_path) == WORK


@pytest.mark.parametrize("is_appended", [False, True])
def test_a_copied_history_counts_where_it_was_asked_for(talk: Talk, is_appended: bool) -> None:
    talk.turns().is_over()
    talk.goes_on()
    later = Talk(talk.home)
    if is_appended:
        later.starts("resume")
        later.goes_on()
    history = talk.transcript.read_text().replace(talk.session_id, later.session_id)
    old = time.time() - 3600  # the clock of these tests is ahead
    history = "".join(
        json.dumps({**json.loads(line), "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(old))}) + "\n"
        for line in history.splitlines()
    )
    later.writes(later.transcript, history)
    later.starts("resume")
    later.goes_on().turns()
    assert tokens(talk.home) == times(2)


def test_a_session_that_is_resumed_counts_from_then_on(talk: Talk) -> None:
    talk.turns().is_over()
    talk.starts("resume")
    talk.goes_on().turns()
    talk.is_over()
    talk.goes_on()
    assert tokens(talk.home) == times(2)


def test_agents_records_in_the_same_file_are_the_agents(talk: Talk) -> None:
    talk.says(FIRST, isSidechain=True, agentId="a1")
    talk.turns()
    assert tokens(talk.home) == WORK


def test_an_answer_that_is_not_there_to_its_end_counts_when_it_is(talk: Talk) -> None:
    message = talk.works().says({**FIRST, "output": 1}, None)
    talk.stops()
    assert tokens(talk.goes_on().home) == WORK
    talk.says(FIRST, "end_turn", message)
    talk.stops()
    assert tokens(talk.goes_on().home) == {kind: WORK[kind] + FIRST[kind] for kind in FIRST}
    assert counted(talk.home)["usage_incomplete"] == 0


def test_an_answer_whose_end_never_came_is_a_lower_bound(talk: Talk) -> None:
    talk.works().says(FIRST, None)
    talk.stops()
    talk.works().stops()
    assert tokens(talk.goes_on().home) == {kind: 2 * WORK[kind] + FIRST[kind] for kind in FIRST}
    assert counted(talk.home)["usage_incomplete"] == 1
    talk.says(FIRST, None)
    talk.is_over()
    talk.goes_on()
    assert tokens(talk.home) == {kind: 2 * WORK[kind] + 2 * FIRST[kind] for kind in FIRST}
    assert counted(talk.home)["usage_incomplete"] == 2


def test_further_records_of_an_answer_that_was_counted_are_no_news(talk: Talk) -> None:
    message = talk.says(FIRST, "tool_use")
    talk.stops()
    talk.says(FIRST, "tool_use", message)
    talk.stops()
    assert tokens(talk.goes_on().home) == FIRST


def test_a_line_that_is_half_written_is_read_when_it_is_whole(talk: Talk) -> None:
    talk.works()
    (_, *_), text = zip(*talk.written(), strict=True)
    whole = "".join(text)
    talk.written().clear()
    talk.writes(talk.transcript, whole[:-40])
    talk.stops()
    assert tokens(talk.goes_on().home) == FIRST
    talk.writes(talk.transcript, whole[-40:])
    talk.stops()
    assert tokens(talk.goes_on().home) == WORK


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_file_that_is_written_anew_counts_once(talk: Talk, is_replaced: bool) -> None:
    talk.turns().turns()
    lines = talk.transcript.read_text().splitlines(keepends=True)
    if is_replaced:
        talk.transcript.unlink()
    talk.transcript.write_text(
        '{"type": "summary", "summary": "a long one that was not there before"}\n' + "".join(lines[:-1])
    )
    talk.turns()
    assert tokens(talk.home) == times(3)


def test_a_long_file_is_read_by_several_hooks(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = "otel_tracker.integrations.claude_code.transcripts.conversation_reader"
    monkeypatch.setattr(f"{reader}._LOOK_BYTES", 5000)
    monkeypatch.setattr("otel_tracker.integrations.claude_code.hooks.dispatch.READING_SECONDS", 0.0)
    for _ in range(20):
        talk.works()
    known = []
    for _ in range(12):
        talk.stops()
        known.append(sum(tokens(talk.goes_on().home).values()))
    assert known[0] < known[1] < known[2]
    assert known[-1] == 20 * sum(WORK.values())


def test_helpers_of_claude_code_are_of_the_conversation(talk: Talk) -> None:
    """Their transcripts begin with a copy of it, which a side question has under requests of its own."""
    talk.turns()
    message = talk.works().says(FIRST, "tool_use")
    folder = talk.folder / talk.session_id / "subagents"
    for name, request in (("acompact-1", f"req_{message}"), ("aside_question-1", "req_of_its_own")):
        about: dict[str, Any] = {"path": folder / f"agent-{name}.jsonl", "isSidechain": True, "agentId": name}
        talk.says(FIRST, "tool_use", message, requestId=request, **about)
        talk.says(LAST, "end_turn", **about)
    talk.stops()
    talk.goes_on()
    expected = {kind: 2 * WORK[kind] + FIRST[kind] + 2 * LAST[kind] for kind in FIRST}
    assert tokens(talk.home) == expected
    talk.stops()
    talk.goes_on().turns()
    assert tokens(talk.home) == {kind: expected[kind] + WORK[kind] for kind in FIRST}
    assert read(talk.home).agents == {}


def test_the_main_conversation_of_a_session_with_agents_is_apart_from_them(talk: Talk) -> None:
    prepare(talk.home)
    run = talk.works().launches()
    run.begins()
    run.works().ends().completes()
    talk.works()
    talk.stops()
    talk.goes_on()
    assert tokens(talk.home) == times(2)
    use = read(talk.home).agents[CODER]["models"][MODEL]
    assert {kind: use[kind] for kind in WORK} == WORK


def test_events_name_the_folder_of_the_session_unless_a_setting_keeps_it_out(talk: Talk) -> None:
    prepare(talk.home)
    for project in ("/project/of/the/first/answer", None):
        talk.says(FIRST, cwd=project or "/elsewhere")
        run = talk.launches()
        run.begins().works().ends().completes()
        talk.stops()
        talk.goes_on()
        of_run, of_talk = events(talk.home)[-2:]
        assert (of_run["action"], of_talk["action"]) == (names.TASK_COMPLETED, names.USAGE_RECORDED)
        assert (of_run.get("project"), of_talk.get("project")) == (project, project)
        assert main(["--home", str(talk.home), "config", "set", "record_project", "false"]) == 0


def test_hooks_of_a_session_at_once_count_a_turn_once(talk: Talk) -> None:
    talk.works().stops()
    (step,) = talk.steps
    write(step.writes)
    with ThreadPoolExecutor(8) as pool:
        printed = list(pool.map(lambda _: hook_process(step.payload, talk.home), range(16)))
    assert set(printed) == {""}
    assert tokens(talk.home) == WORK


@pytest.mark.processes
@pytest.mark.parametrize("is_last", [False, True])
def test_a_hook_that_is_killed_at_any_step_counts_once(tmp_path: Path, is_last: bool) -> None:
    for step in count(1):
        talk = Talk(tmp_path / str(step))
        talk.starts()
        talk.goes_on().turns()
        talk.works().is_over() if is_last else talk.works().stops()
        (told,) = talk.steps
        write(told.writes)
        is_through = survives(partial(play, [told._replace(writes=[])], talk.home), step)
        talk.steps.clear()
        if is_last:
            other = Talk(talk.home)
            for _ in range(2):
                play([told._replace(writes=[])], talk.home)
            other.starts()
            other.goes_on()
        else:
            talk.turns()
        assert tokens(talk.home) == times(2 if is_last else 3), step
        ids = [event["id"] for event in events(talk.home)]
        assert len(ids) == len(set(ids))
        if is_through:
            break
    assert step > 10


@pytest.fixture
def claude(monkeypatch: pytest.MonkeyPatch) -> Iterator["subprocess.Popen[bytes]"]:
    """Return a process that hooks take for that of their session."""
    with subprocess.Popen(["sleep", "600"]) as process:
        monkeypatch.setenv("CLAUDE_PID", str(process.pid))
        yield process
        process.kill()


@pytest.mark.processes
def test_what_a_killed_session_has_used_is_counted_by_the_next_event_of_another_one(
    claude: "subprocess.Popen[bytes]", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk, other = Talk(tmp_path), Talk(tmp_path)
    talk.starts()
    talk.goes_on().turns()
    talk.works().says(FIRST, None)
    talk.goes_on()
    monkeypatch.setenv("CLAUDE_PID", str(os.getpid()))
    other.starts()
    other.goes_on()
    assert tokens(tmp_path) == WORK
    claude.kill()
    claude.wait()
    other.stops()
    other.goes_on()
    assert tokens(tmp_path) == {kind: 2 * WORK[kind] + FIRST[kind] for kind in FIRST}
    assert [path.name for path in watched(tmp_path)] == [f"{other.session_id}.json", f"{other.session_id}.json.lock"]


def test_a_session_whose_process_is_unknown_is_counted_after_an_hour_of_silence_and_left_after_a_day(
    tmp_path: Path, wait: Wait
) -> None:
    talk, other = Talk(tmp_path), Talk(tmp_path)
    talk.starts()
    talk.goes_on().turns()
    talk.works()
    write(talk.written())
    talk.written().clear()
    for minutes, turns, files in ((50, 1, 4), (20, 2, 4), (24 * 60, 2, 2)):
        wait(minutes)
        other.now = time.time()
        other.starts()
        other.goes_on()
        assert tokens(tmp_path) == times(turns)
        assert len(watched(tmp_path)) == files


@pytest.mark.parametrize("content", ["", "{", "[]", '{"place": []}', '{"place": [1, 2, 3, -4, 5]}', "null"])
def test_a_session_whose_file_is_damaged_counts_from_the_end_of_its_turn_on(talk: Talk, content: str) -> None:
    talk.turns()
    (path,) = (path for path in watched(talk.home) if path.suffix == ".json")
    path.write_text(content)
    other = Talk(talk.home)
    other.starts()
    other.goes_on()
    talk.turns().turns()
    assert tokens(talk.home) == times(2)


def test_a_transcript_that_is_gone_is_no_error(talk: Talk) -> None:
    talk.turns()
    talk.transcript.unlink()
    talk.stops()
    talk.goes_on()
    talk.is_over()
    talk.goes_on()
    assert tokens(talk.home) == WORK
    assert not (talk.home / "claude-code" / "hook.log").exists()


def test_a_session_that_asks_for_nothing_writes_no_event(talk: Talk) -> None:
    talk.asks()
    talk.stops()
    talk.is_over()
    talk.goes_on()
    assert events(talk.home) == []
    assert watched(talk.home) == []
    assert not (talk.home / "config").exists()


def test_what_a_home_without_any_task_has_is_in_order(talk: Talk) -> None:
    from otel_tracker.doctor import OK, examine_home

    talk.turns()
    notes = [finding for finding in examine_home(Store(Home(os.fspath(talk.home)))) if finding.level != OK]
    assert [finding.topic for finding in notes if "exist" not in finding.text and "backup" not in finding.text] == []
    talk.is_over()
    talk.goes_on()
    assert not (talk.home / "claude-code" / "hook.log").exists()
