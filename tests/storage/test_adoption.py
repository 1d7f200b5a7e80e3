"""A document that another program wrote: what the predecessor writes is read, and a faulty one gives way to nothing."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otel_tracker import names
from otel_tracker.cli import main
from otel_tracker.storage.home import Home
from otel_tracker.storage.quick_read import read_quickly
from otel_tracker.storage.recorder import Recorder
from otel_tracker.storage.store import Store
from tests.builders import AGENT, end, usage
from tests.faults.components import NO_PRIVILEGES, needs_root

Change = Callable[[bytes], bytes]
Warnings = Callable[[], list[str]]
AGENTS = 42


def inserted(fault: bytes, before: bytes) -> Change:
    return lambda text: text.replace(before, fault + before, 1)


def instead(fault: bytes, of: str) -> Change:
    return lambda text: re.sub(of.encode(), fault, text, count=1)


FAULTS: dict[str, Change] = {
    "a trailing comma": lambda text: text.rstrip()[:-1] + b",}",
    "a comment": inserted(b"// mine\n  ", b'"agents"'),
    "a merge conflict": inserted(b"<<<<<<< HEAD\n", b'  "config"'),
    "two documents": lambda text: text * 2,
    "cut off in the middle": lambda text: text[: len(text) // 2],
    "cut off in its first line": lambda text: text[:20],
    "cut off at its end": lambda text: text[:-3],
    "zeros at its end": lambda text: text[:-200] + bytes(200),
    "another encoding": lambda text: text.decode().replace("analyzer", "analisé").encode("latin-1"),
    "NaN": instead(b'"total_duration_seconds": NaN', '"total_duration_seconds": 0.0'),
    "Infinity": instead(b'"avg_duration_seconds": Infinity', '"avg_duration_seconds": 0.0'),
    "a number that no float holds": instead(b'"total_duration_seconds": 1e400', '"total_duration_seconds": 0.0'),
    "a count beyond all numbers": instead(b'"tasks_total": 1' + b"0" * 400, '"tasks_total": 0'),
    "a count beyond Python's digits": instead(b'"tasks_total": 1' + b"0" * 5000, '"tasks_total": 0'),
    "a count as a text": instead(b'"tasks_total": "6"', '"tasks_total": 0'),
    "half a task": instead(b'"tasks_total": 6.5', '"tasks_total": 0'),
    "tokens below nothing": instead(b'"total": -3', '"total": 0'),
    "agents as a list": instead(b'"agents": [], "were": {', '"agents": {'),
    "agents that are null": instead(b'"agents": null, "were": {', '"agents": {'),
    "an agent that is a text": instead(b'"agents": {"a.md": "healthy",', '"agents": {'),
    "a timestamp that is none": instead(b'"last_failure": "yesterday"', '"last_failure": null'),
    "a history that is no list": instead(b'"history": {}', r'"history": \[\]'),
    "our own beginning": lambda text: re.sub(
        rb'("updated": [^\n]*\n)', rb'\1  "sequence": 1,\n', text.replace(b'"failures": 0', b'"failures": "0"'), count=1
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_faulty_document_stays_byte_for_byte_and_events_wait_for_its_correction(
    adopt: Callable[[], Home], fault: Change, warnings_logged: Warnings
) -> None:
    home = adopt()
    path = Path(home.document)
    right = path.read_bytes()
    faulty = fault(right)
    assert faulty != right
    path.write_bytes(faulty)
    for number in range(2):
        Store(home).record([end(f"r{number}")])
    assert path.read_bytes() == faulty
    assert os.listdir(os.path.dirname(path)) != []
    assert not os.path.exists(home.backups)
    assert all("not changed" in message and home.document in message for message in warnings_logged())
    path.write_bytes(right)
    Store(home).record([end("r2")])
    agents = json.loads(path.read_bytes())["agents"]
    assert len(agents) == AGENTS
    assert agents[AGENT]["metrics"]["tasks_total"] == 3


COMMANDS = [
    ["init"],
    ["reset", AGENT],
    ["breaker", AGENT, "open"],
    ["config", "set", "failure_threshold", "3"],
    ["backups", "create"],
    ["doctor", "--repair"],
    ["exec", AGENT, "--", "true"],
    ["health", AGENT],
    ["status"],
    ["report"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_no_command_changes_a_faulty_document(
    adopt: Callable[[], Home], command: list[str], capfd: pytest.CaptureFixture[str], warnings_logged: Warnings
) -> None:
    home = adopt()
    path = Path(home.document)
    faulty = FAULTS["a trailing comma"](path.read_bytes())
    path.write_bytes(faulty)
    main(["--home", home.folder, *command])
    assert path.read_bytes() == faulty
    assert "not JSON" in "".join([*capfd.readouterr(), *warnings_logged()])


USUAL = {
    "whole numbers as floats": ('"tasks_total": 6.0', "tasks_total", 6),
    "a negative duration": ('"total_duration_seconds": -2700.0', "total_duration_seconds", 0.0),
    "a negative average": ('"avg_duration_seconds": -450.0', "avg_duration_seconds", 0.0),
}


@pytest.mark.parametrize(("written", "key", "meant"), USUAL.values(), ids=USUAL)
@pytest.mark.parametrize("indent", [2, None])
def test_numbers_as_other_programs_write_them_are_read(
    adopt: Callable[[], Home], written: str, key: str, meant: float, indent: int | None, warnings_logged: Warnings
) -> None:
    home = adopt()
    path = Path(home.document)
    text = json.dumps(json.loads(path.read_bytes()), indent=indent)
    path.write_text(re.sub(rf'"{key}": [^,}}]*', written, text))
    for agent in Store(home).read().agents.values():
        assert (agent["metrics"][key], type(agent["metrics"][key])) == (meant, type(meant))
    Store(home).record([end("r1")])
    agents = json.loads(path.read_bytes())["agents"]
    assert len(agents) == AGENTS
    assert warnings_logged() == []


def test_every_count_may_be_a_float_and_tokens_may_have_a_fraction(home: Home, tmp_path: Path) -> None:
    first = end("r1", names.FAILURE, tokens={"input": 10, "output": 3}, models={"claude-sonnet-5": {"input": 10}})
    store, twin = Store(home), Store(Home(str(tmp_path / "twin")))
    store.record([first, usage()])
    twin.record([first, usage()])
    before, config, rest = re.split(r'("config".*?\},)', Path(home.document).read_text(), maxsplit=1, flags=re.DOTALL)
    head, history = rest.split('"history"')
    before, head = (re.sub(r"(?<=[\[ ])(\d+)(?=[,}\]\n])", r"\1.0", part) for part in (before, head))
    head = head.replace('"total": 13.0', '"total": 13.25').replace('"input": 10.0', '"input": 10.25')
    Path(home.document).write_text(f'{before}{config}{head}"history"{history}')
    assert '"sequence": 2.0,' in before
    assert '"tasks_failed": 1.0,' in head
    assert json.dumps(Store(home).read().head) == json.dumps(twin.read().head) == json.dumps(read_quickly(home).head)
    for one in (Store(home), twin):
        one.record([end("r2")])
    assert Path(home.document).read_bytes() == Path(twin.home.document).read_bytes()


TEXTS: dict[str, Change] = {
    "a byte order mark": lambda text: b"\xef\xbb\xbf" + text,
    "Windows' line ends": lambda text: text.replace(b"\n", b"\r\n"),
    "16 bits a letter": lambda text: text.decode().encode("utf-16"),
    "tabs": lambda text: json.dumps(json.loads(text), indent="\t").encode(),
    "no white space": lambda text: json.dumps(json.loads(text), separators=(",", ":")).encode(),
    "sorted keys": lambda text: json.dumps(json.loads(text), sort_keys=True).encode(),
    "escapes": lambda text: text.replace(b"core/coder.md", rb"core\/\u0063oder.md"),
}


@pytest.mark.parametrize("form", TEXTS.values(), ids=TEXTS)
def test_a_document_in_any_form_of_json_is_adopted_after_a_backup(adopt: Callable[[], Home], form: Change) -> None:
    home = adopt()
    path = Path(home.document)
    path.write_bytes(form(path.read_bytes()))
    before = path.read_bytes()
    Store(home).record([end("r1")])
    agents = json.loads(path.read_bytes())["agents"]
    assert (len(agents), agents[AGENT]["metrics"]["tasks_total"]) == (AGENTS, 1)
    assert [Path(home.backups, name).read_bytes() for name in os.listdir(home.backups)] == [before]


def test_a_document_without_agents_is_adopted(home: Home) -> None:
    path = Path(home.document)
    path.parent.mkdir(parents=True)
    path.write_text('{"version": "7.0", "agents": {}, "mine": [1.0], "history": []}')
    Store(home).record([end("r1")])
    document: dict[str, Any] = json.loads(path.read_bytes())
    assert list(document["agents"]) == [AGENT]
    assert json.dumps(document["mine"]) == "[1.0]"


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_backup_of_another_document_is_none_of_a_faulty_one(
    store: Store, home: Home, adopt: Callable[[], Home], fault: Change
) -> None:
    store.record([end("r1")])
    store.back_up()
    adopt()
    path = Path(home.document)
    faulty = fault(path.read_bytes())
    path.write_bytes(faulty)
    Store(home).record([end("r2")])
    names_agents = b'"core/reviewer.md": {' in faulty and fault is not FAULTS["our own beginning"]
    assert (path.read_bytes() == faulty) is names_agents
    assert not names_agents or store.parts.backups.damaged_paths() == []


def test_a_faulty_document_gives_way_to_a_backup_that_knows_its_agents(adopt: Callable[[], Home]) -> None:
    home = adopt()
    path = Path(home.document)
    before = path.read_bytes()
    Store(home).record([end("r1", agent="new.md")])
    Store(home).record([end("r2", agent="newer.md")])
    path.write_bytes(before.replace(b'"agents": {', b'"agents": {"newer.md": {"status": "healthy"},')[:-3])
    Store(home).record([end("r3")])
    assert len(json.loads(path.read_bytes())["agents"]) == AGENTS + 2


def test_a_document_whose_events_the_journal_no_longer_has_all_gives_way_to_nothing(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otel_tracker.storage.journal.SEGMENT_BYTES", 1)
    store = Store(home)
    for number in range(3):
        store.record([end(f"r{number}")])
    os.unlink(os.path.join(home.journal, "1.jsonl"))
    path = Path(home.document)
    shutil.rmtree(home.backups, ignore_errors=True)
    path.write_bytes(path.read_bytes()[:-1] + b",")
    faulty = path.read_bytes()
    Store(home).record([end("r3")])
    assert path.read_bytes() == faulty


TEARS: dict[str, Change] = {
    "cut off": lambda text: text[:-40],
    "cut off among its agents": lambda text: text[: text.index(b'"new.md": {') + 30],
    "zeros at its end": lambda text: text[:-40] + bytes(40),
    "a zero in front": lambda text: b"\0" + text[1:-40],
}


@pytest.fixture
def ahead(adopt: Callable[[], Home]) -> Home:
    """Return the home of an adopted document that names an agent whose first event the journal has lost."""
    home = adopt()
    for agent in (AGENT, "new.md"):
        Store(home).record([end(f"run of {agent}", agent=agent)])
    (segment,) = Path(home.journal).iterdir()
    segment.write_bytes(segment.read_bytes().splitlines(keepends=True)[0])
    return home


@pytest.mark.parametrize("tear", TEARS.values(), ids=TEARS)
def test_a_torn_document_of_our_own_is_rebuilt_although_the_journal_has_lost_its_last_event(
    ahead: Home, tear: Change
) -> None:
    path = Path(ahead.document)
    path.write_bytes(tear(path.read_bytes()))
    torn = path.read_bytes()
    Store(ahead).record([end("r3")])
    agents = json.loads(path.read_bytes())["agents"]
    assert len(agents) == AGENTS
    assert agents[AGENT]["metrics"]["tasks_total"] == 2
    assert [Path(kept).read_bytes() for kept in Store(ahead).parts.backups.damaged_paths()] == [torn]


def test_a_whole_document_with_a_fault_stays_where_the_journal_that_named_its_agents_is_gone(ahead: Home) -> None:
    path = Path(ahead.document)
    right = path.read_bytes()
    shutil.rmtree(ahead.journal)
    path.write_bytes(FAULTS["a comment"](right))
    faulty = path.read_bytes()
    Store(ahead).record([end("r3")])
    assert path.read_bytes() == faulty
    path.write_bytes(right)
    Store(ahead).record([end("r4")])
    agents = json.loads(path.read_bytes())["agents"]
    assert (len(agents), agents[AGENT]["metrics"]["tasks_total"]) == (AGENTS + 1, 3)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["a folder", "a pipe"])
def test_what_is_no_file_stays(home: Home, make: Callable[[str], None], warnings_logged: Warnings) -> None:
    os.makedirs(os.path.dirname(home.document))
    make(home.document)
    kind = os.lstat(home.document).st_mode
    recorder = Recorder(Store(home))
    recorder.record(end("r1"))
    recorder.leave()
    assert os.lstat(home.document).st_mode == kind
    assert "it is no file" in warnings_logged()[0]
    (os.rmdir if os.path.isdir(home.document) else os.unlink)(home.document)
    Store(home).record([end("r2")])
    assert json.loads(Path(home.document).read_bytes())["agents"][AGENT]["metrics"]["tasks_total"] == 2


def test_a_document_keeps_its_owner_its_group_and_its_mode(adopt: Callable[[], Home]) -> None:
    needs_root("only root gives files away")
    home = adopt()
    os.chown(home.document, 12_345, 12_346)
    os.chmod(home.document, 0o664)
    Store(home).record([end("r1")])
    status = os.stat(home.document)
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12_345, 12_346, 0o664)


def test_the_other_name_of_a_document_keeps_what_it_had(adopt: Callable[[], Home], tmp_path: Path) -> None:
    """Tools that make copies of folders by linking rely on it."""
    home = adopt()
    before = Path(home.document).read_bytes()
    os.link(home.document, tmp_path / "copy")
    Store(home).record([end("r1")])
    assert (tmp_path / "copy").read_bytes() == before
    assert os.stat(home.document).st_nlink == 1


@pytest.mark.processes
def test_an_unreadable_document_stays_and_its_events_come_in_when_it_can_be_read(adopt: Callable[[], Home]) -> None:
    home = adopt()
    before = Path(home.document).read_bytes()
    os.chmod(home.document, 0)
    command = [*NO_PRIVILEGES, sys.executable, "-m", "otel_tracker", "--home", home.folder, "exec", AGENT, "--", "true"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Permission denied" in ran.stderr
    assert stat.S_IMODE(os.stat(home.document).st_mode) == 0
    os.chmod(home.document, 0o600)
    assert Path(home.document).read_bytes() == before
    Store(home).record([end("r1")])
    assert json.loads(Path(home.document).read_bytes())["agents"][AGENT]["metrics"]["tasks_total"] == 2


@pytest.mark.processes
def test_a_task_comes_in_later_where_the_backups_of_an_adopted_document_cannot_be_listed(
    adopt: Callable[[], Home],
) -> None:
    """They tell whether another program has rewritten the document: until then nobody knows which events it counts."""
    home = adopt()
    before = Path(home.document).read_bytes()
    os.makedirs(home.backups)
    os.chmod(home.backups, 0)
    command = [*NO_PRIVILEGES, sys.executable, "-m", "otel_tracker", "--home", home.folder, "exec", AGENT, "--", "true"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert home.backups in ran.stderr
    assert Path(home.document).read_bytes() == before
    os.chmod(home.backups, 0o700)
    Store(home).record([end("r1")])
    agents = json.loads(Path(home.document).read_bytes())["agents"]
    assert (len(agents), agents[AGENT]["metrics"]["tasks_total"]) == (AGENTS, 2)


ODD: list[Any] = [
    None,
    True,
    -1,
    10**30,
    2.5,
    "x",
    "task_completed",
    "document_restored",
    "2026-02-15T22:00:00",
    [],
    {"a": 1},
]
KEYS = (
    "timestamp",
    "agent",
    "action",
    "seq",
    "tokens_used",
    "duration_seconds",
    "run_id",
    "override",
    "error",
    "task_id",
)


@pytest.mark.parametrize("odd", ODD, ids=json.dumps)
def test_entries_of_the_history_may_say_anything(home: Home, odd: Any, capsys: pytest.CaptureFixture[str]) -> None:
    entry = {"timestamp": "2026-02-15T22:00:00", "agent": AGENT, "action": "task_completed", "tokens_used": 250.25}
    history = [{**entry, key: odd} for key in KEYS] + [dict.fromkeys(KEYS, odd), {}]
    path = Path(home.document)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"version": "7.0", "agents": {AGENT: {}}, "history": history}))
    for _ in range(2):
        for command in (
            "history",
            f"history --agent {AGENT}",
            "history --since 1d",
            "report",
            "status",
            "metrics",
            "doctor",
        ):
            assert main(["--home", home.folder, *command.split()]) == 0, command
        Store(home).record([end("r1")])
    document = json.loads(path.read_bytes())
    assert document["agents"][AGENT]["metrics"]["tasks_total"] == 1
    assert len(document["history"]) == len(history) + 1
    assert capsys.readouterr().err == ""


def test_a_number_of_events_that_no_journal_can_have_is_a_fault(adopt: Callable[[], Home]) -> None:
    home = adopt()
    path = Path(home.document)
    faulty = path.read_bytes().replace(b'"agents"', b'"sequence": 1' + b"0" * 20 + b', "agents"', 1)
    path.write_bytes(faulty)
    Store(home).record([end("r1")])
    assert path.read_bytes() == faulty
