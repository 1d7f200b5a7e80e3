"""What segments of the journal said of runs outlives them: each run counts once, wherever it stands by now."""

import json
import random
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from otel_tracker import names
from otel_tracker.cli import main
from otel_tracker.doctor import OK, examine_home
from otel_tracker.errors import StorageError
from otel_tracker.reporting.aggregate import UsageTable, aggregate, parts_in
from otel_tracker.reporting.choices import KEYS
from otel_tracker.reporting.window import Window
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.state.amendment import amendment_of
from otel_tracker.state.event import task_ended
from otel_tracker.state.run_parts import RunPart
from otel_tracker.state.shapes import Event
from otel_tracker.storage import journal as journals
from otel_tracker.storage import retention
from otel_tracker.storage.archive import Archive
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.restore import restore
from otel_tracker.storage.retirement import retire
from otel_tracker.storage.store import Store
from tests.builders import NOON, about

pytestmark = pytest.mark.thorough

DAY = 86_400.0
AGENTS = ["core/coder.md", "ui/designer.md", "ops/é \ud800.md"]
MODELS = ["claude-opus-5-5", "claude-haiku-5-5", "gpt-5"]
OUTCOMES = [names.SUCCESS, names.SUCCESS, names.FAILURE, names.CANCELLED, names.LOST]
COUNTED = (
    "runs",
    "successful",
    "failed",
    "cancelled",
    "lost",
    *names.TOKEN_KEYS,
    "tokens",
    "cost_usd",
    "unpriced_tokens",
)
RUNS, TOKENS = COUNTED[:5], COUNTED[5:]
ALWAYS = Window(zone=UTC)


class Life:
    """A home that lives through days by a clock of its own, and remembers all events that it has recorded."""

    def __init__(self, home: Home, files: Files | None = None) -> None:
        self.home, self.now, self.events, self.random = home, NOON, list[Event](), random.Random(5)  # noqa: S311 - no secret
        self.store = Store(home, files, clock=lambda: self.now)

    def record(self, *events: Event) -> None:
        self.events += self.store.record(list(events))

    def work(self, days: int, shifts_a_day: int = 1) -> None:
        """Record three runs in each shift."""
        for _ in range(days):
            for _ in range(shifts_a_day):
                self.record(self.end(), self.end(), self.end())
            self.now += DAY

    def end(self, run_id: str | None = None, **known: Any) -> Event:
        pick = self.random
        models = {model: self.tokens() for model in pick.sample(MODELS, pick.choice([1, 1, 2]))}
        run = {
            "run_id": run_id or f"{pick.getrandbits(64):x}",
            "started": format_timestamp(self.now - 60),
            "duration_seconds": pick.choice([0.5, 60.25]),
            "project": pick.choice([None, "~/src/shop"]),
            "model": None,
            "models": models,
            "tokens": {},
            **known,
        }
        agent, outcome = run.pop("agent", pick.choice(AGENTS)), run.pop("outcome", pick.choice(OUTCOMES))
        for tokens in models.values():
            run["tokens"] = names.added_tokens(run["tokens"], tokens)
        project = run.pop("project")
        return {**task_ended(agent, outcome, self.now, **run), "project": project}

    def tokens(self) -> dict[str, int]:
        tokens = {kind: self.random.randrange(1000) for kind in ("input", "output", "cache_read", "cache_write")}
        return {
            **tokens,
            names.CACHE_WRITE_1H: 5,
            names.COST: 17,
            names.PRICED: self.random.choice([0, sum(tokens.values())]),
        }

    def expected(self, *by: str) -> UsageTable:
        """Return the sums of all events that were ever recorded."""
        parts = parts_in(ALWAYS, lambda *_: [(float("inf"), reversed(self.events))], self.store.read().renamed)
        return aggregate(parts, by, ALWAYS)

    def sums(self, *by: str, store: Store | None = None) -> UsageTable:
        """Return the sums that a reader gets."""
        store = store or Store(self.home)
        document = store.read()
        parts = parts_in(ALWAYS, lambda *how: store.run_events(document, *how), document.renamed)
        return aggregate(parts, by, ALWAYS)

    @property
    def months(self) -> list[Path]:
        return sorted(Path(self.home.archive).glob("*"))

    @property
    def lines(self) -> list[Event]:
        return [json.loads(line) for path in self.months for line in path.read_bytes().splitlines()]

    def warnings(self) -> list[str]:
        return [f.text for f in examine_home(Store(self.home)) if f.topic == "archive" and f.level != OK]


@pytest.fixture
def life(home: Home, monkeypatch: pytest.MonkeyPatch) -> Life:
    """Return a home of which a segment of the journal is full after a day or two."""
    monkeypatch.setattr(journals, "SEGMENT_BYTES", 2500)
    return Life(home)


def counted(rows: Any, counts: tuple[str, ...] = COUNTED) -> list[Any]:
    """Return what rows count, without medians, which an archive has none of, and without rows that count nothing."""
    kept = [{key: row[key] for key in (*KEYS, *counts) if key in row} for row in rows]
    return sorted((row for row in kept if any(row[key] for key in counts)), key=repr)


def assert_same(life: Life, *by: str) -> None:
    sums, expected = life.sums(*by), life.expected(*by)
    assert counted(sums.rows) == counted(expected.rows)
    assert counted(sums.main_rows) == counted(expected.main_rows)
    assert counted([sums.total]) == counted([expected.total])
    assert sums.unpriced == expected.unpriced


def test_sums_are_the_same_after_segments_are_gone(life: Life) -> None:
    for _ in range(8):
        life.work(10)
        life.record({**about(names.USAGE_RECORDED, life.now - NOON, None), "models": {MODELS[0]: life.tokens()}})  # type: ignore[arg-type]
        for by in (("day", "agent"), ("model", "outcome"), ("project", "month"), ("week",), ()):
            assert_same(life, *by)
    assert (life.store.parts.journal.first() or 0) > 50
    assert [path.name for path in life.months] == ["2026-02.jsonl", "2026-03.jsonl"]
    assert life.warnings() == []


def test_a_backup_retires_no_more_segments_than_others_can_wait_for(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_MOST_AT_ONCE", 3)
    life.work(1, shifts_a_day=20)
    life.now += 60 * DAY
    life.work(1, shifts_a_day=3)
    for path in life.store.parts.backups.paths():  # the oldest one would keep the segments
        Path(path).unlink()
    before = len(life.store.parts.journal.segments())
    for more in (3, 6, 9):
        life.store.back_up()
        assert before - len(life.store.parts.journal.segments()) == more
        assert_same(life, "day", "agent")


def test_a_day_has_one_line_of_each_agent_model_project_and_outcome_however_many_segments_it_was_in(life: Life) -> None:
    life.work(1, shifts_a_day=33)
    life.work(60)
    first_day = [line for line in life.lines if line["day"] == "2026-02-15"]
    keys = [tuple(line.get(key) for key in ("agent", "model", "project", "outcome")) for line in first_day]
    assert len(set(keys)) == len(keys)
    assert sum(line.get("runs", 0) for line in first_day) == 99
    assert any(line.get("from", line["until"]) < line["until"] for line in first_day)


def amended_ends(life: Life, days_between: int) -> None:
    """Record runs that are amended later: other outcomes, models, tokens, and durations."""
    lost = [life.end(f"amended {number}", outcome=names.LOST) for number in range(3)]
    same = [life.end(f"more {number}", outcome=names.SUCCESS) for number in range(3)]
    life.record(*lost, *same)
    if days_between:
        life.work(days_between)
    for before in (*lost, *same):
        outcome = names.SUCCESS if before["action"] != names.TASK_LOST else life.random.choice(OUTCOMES[:3])
        now = life.end(
            before["run_id"], agent=before["agent"], outcome=outcome, project=before["project"], duration_seconds=90.0
        )
        amendment = amendment_of(before, now)
        assert amendment is not None
        life.record(amendment)


@pytest.mark.parametrize("days_between", [0, 1, 20, 50])
def test_runs_that_are_amended_count_once_wherever_their_ends_are(life: Life, days_between: int) -> None:
    """The amendment is in the segment of the end, in a later one, or comes when the end is archived already."""
    life.work(2)
    amended_ends(life, days_between)
    for _ in range(12):
        life.work(5)
        assert_same(life, "agent")
        assert counted(life.sums("agent", "model").rows, TOKENS) == counted(
            life.expected("agent", "model").rows, TOKENS
        )
        assert counted(life.sums("outcome").rows, RUNS) == counted(life.expected("outcome").rows, RUNS)
    assert (life.store.parts.journal.first() or 0) > 60
    seconds = sum(line.get("seconds", 0) for line in life.lines)
    archived = life.events[: (life.store.parts.journal.first() or 0) - 1]
    assert seconds == pytest.approx(sum(event["duration_seconds"] or 0 for event in archived))


def test_a_difference_to_tokens_without_a_full_model_id_counts_although_its_end_is_archived(life: Life) -> None:
    run: dict[str, Any] = {"run_id": "named", "started": format_timestamp(life.now - 60), "duration_seconds": 1.0}
    before = task_ended(AGENTS[0], names.SUCCESS, life.now, **run, model="sonnet", tokens={"input": 675})
    life.record(before)
    life.work(80)
    now = task_ended(AGENTS[0], names.SUCCESS, life.now, **run, model="sonnet")
    amended = amendment_of(before, now)
    assert amended is not None
    life.record(amended)
    assert (life.store.parts.journal.first() or 0) > 1
    uses = [use for agent in life.store.read().agents.values() for use in agent["token_usage"].values()]
    assert life.sums().total["input"] == sum(use["input"] for use in uses)


def test_what_a_restore_has_discarded_is_not_archived(life: Life) -> None:
    life.work(5)
    backup = life.store.back_up()
    assert backup is not None
    kept = list(life.events)
    life.work(3)
    restore(Store(life.home, clock=lambda: life.now), backup, discard_later=True)
    life.events = kept
    life.store = Store(life.home, clock=lambda: life.now)
    life.work(80)
    assert min(life.store.parts.journal.last_numbers(life.store.parts.journal.segments())) > 40
    assert_same(life, "agent", "day")


def test_an_archived_agent_has_the_key_that_it_has_now(life: Life) -> None:
    life.work(50)
    life.record({**about(names.AGENT_RENAMED, life.now - NOON, AGENTS[0]), "to": "new.md"})
    assert_same(life, "agent")
    life.work(60)
    assert_same(life, "agent")
    assert AGENTS[0] not in {row["agent"] for row in life.sums("agent").rows}


def test_a_new_agent_with_the_former_key_of_another_has_its_own_runs(life: Life) -> None:
    life.work(3)
    life.record({**about(names.AGENT_RENAMED, life.now - NOON, AGENTS[0]), "to": "new.md"})
    life.record({**about(names.AGENT_REGISTERED, life.now - NOON + 1, AGENTS[0]), "name": "another"})
    life.work(100)
    assert not {"new.md"} & {event["agent"] for event in life.events}
    assert sum(line.get("runs", 0) for line in life.lines if line.get("agent") == "new.md") > 0
    assert_same(life, "agent")


class Failing(Files):
    """Fails at what a test says, as a full disk does, or a process that is killed just before it."""

    at: "str | None" = None

    def remove(self, path: str) -> None:
        self._check("delete", path)
        super().remove(path)

    def replace(self, path: str, *arguments: Any, **options: Any) -> tuple[int, int, int]:
        self._check("write", path)
        return super().replace(path, *arguments, **options)

    def _check(self, attempted: str, path: str) -> None:
        if self.at is not None and self.at in f"{attempted} {path}":
            raise StorageError(attempted, path, "No space left on device")


@pytest.mark.parametrize("place", ["delete {}/journal/", "write {}/archive/", "write {}/archive/2026-03"])
def test_what_cannot_be_archived_stays_in_the_journal_until_it_can(
    home: Home, monkeypatch: pytest.MonkeyPatch, warnings_logged: Any, place: str
) -> None:
    monkeypatch.setattr(journals, "SEGMENT_BYTES", 2500)
    files = Failing()
    life = Life(home, files)
    files.at = place.format(home.folder)
    for _ in range(10):
        life.work(10)
        assert_same(life, "day", "agent")
    numbers = [
        event["seq"]
        for segment in life.store.parts.journal.segments()
        for event in map(json.loads, Path(segment).read_bytes().splitlines())
    ]
    said = [message for message in warnings_logged() if "No space left" in message]
    assert said
    assert len(said) == len(set(said))
    if "archive" in place:
        assert all("; the journal keeps its old segments until it can be written" in message for message in said)
        assert len(numbers) > 150
    files.at = None
    life.work(10)
    assert_same(life, "day", "agent")
    assert (life.store.parts.journal.first() or 0) > 150
    assert life.warnings() == []


def test_segments_that_are_retired_while_a_reader_reads_count_once(life: Life) -> None:
    life.work(45)
    expected = counted([life.expected().total])
    reader = Store(life.home)
    document = reader.read()
    first = life.store.parts.journal.first() or 0

    def read(*how: Any) -> Iterator[Any]:
        all_batches = iter(reader.run_events(document, *how))
        yield next(all_batches)
        life.now += 60 * DAY
        life.work(13)
        assert (life.store.parts.journal.first() or 0) > first + 20
        yield from all_batches

    assert counted([aggregate(parts_in(ALWAYS, read), (), ALWAYS).total]) == expected


def test_a_reader_that_slept_while_segments_were_retired_and_joined_with_older_ones_says_so(home: Home) -> None:
    archive, parts = Archive(home.archive, Files()), [part(0, "shop", 0, names.SUCCESS, NOON)]
    archive.add(parts, first=1, last=10, settled=0)
    archive.add(parts, first=11, last=20, settled=10)
    (path,) = archive.paths()
    assert [sum(line["runs"] for line in archive.events(path, before)) for before in (1, 11, 21)] == [0, 7, 14]
    archive.add(parts, first=21, last=30, settled=20)
    assert [sum(line["runs"] for line in archive.events(path, before)) for before in (1, 21, 31)] == [0, 14, 21]
    with pytest.raises(StorageError, match="ask again"):
        list(archive.events(path, before=11))


ODD: list[dict[str, Any]] = [
    *(
        {key: value}
        for key in ("project", "conversation_id", "model")
        for value in (5, ["x"], {"a": 1}, True, "\ud800", "")
    ),
    *(
        {"tokens": tokens, "models": {"m": tokens}}
        for tokens in ({"input": 2**53}, {"input": 1.0}, {"inputs": 5}, {}, None)
    ),
    *({"duration_seconds": value} for value in (5, 1e308, None, "5")),
    *({"tokens": None, "models": None, "tokens_used": value} for value in (7, 7.5, 2**70, None)),
    {"timestamp": "2026-02-15T23:30:00-05:00"},
    {"timestamp": "2026-02-15T12:00:00"},
    {"timestamp": "1850-02-15T12:00:00Z"},
    {"usage_incomplete": 1},
    {"action": names.TASK_AMENDED, "outcome": names.SUCCESS},
    {"action": names.TASK_AMENDED, "outcome": names.SUCCESS, "previous_outcome": None, "previous_models": {"m": None}},
    {"action": names.TASK_AMENDED, "models": None, "previous_models": None},
    {"action": names.TASK_AMENDED, "run_id": None},
]


@pytest.mark.parametrize("change", ODD)
def test_what_another_program_has_made_of_an_event_counts_in_the_archive_as_in_the_journal(
    life: Life, change: Any
) -> None:
    life.work(3)
    segment = Path(life.store.parts.journal.segments()[0])
    lines = [json.loads(line) for line in segment.read_bytes().splitlines()]
    changed = [{**line, **change} for line in lines[:2]] + lines[2:]
    segment.write_text("".join(f"{json.dumps(line)}\n" for line in changed))
    before = life.sums("day", "agent"), life.sums("project", "model")
    retire(Store(life.home).parts, [str(segment)])
    assert not segment.exists()
    for was, now in zip(before, (life.sums("day", "agent"), life.sums("project", "model")), strict=True):
        assert counted(now.rows) == counted(was.rows)
        assert counted([now.total]) == counted([was.total])
    assert life.warnings() == []


def test_a_damaged_line_is_skipped_kept_and_named_by_the_doctor(life: Life) -> None:
    life.work(50)
    path = life.months[0]
    good = path.read_bytes().splitlines()
    line = json.loads(good[0])
    damaged = [
        b"{not json", b"[]", b"\xff", b"null",
        *(json.dumps({**line, **change}).encode() for change in (
            {"day": "2026-02-31"}, {"day": "2027-02-15"}, {"day": 5}, {"runs": "1"}, {"input": 1.5}, {"outcome": "boiled"},
            {"until": None}, {"agent": 7},
        )),
    ]  # fmt: skip
    path.write_bytes(b"\n".join([*damaged, *good]) + b"\n")
    assert_same(life, "day", "agent")
    (said,) = life.warnings()
    assert said.startswith(f"{len(damaged)} lines of {path} ")
    life.work(30)
    assert_same(life, "day", "agent")
    assert set(damaged) < set(path.read_bytes().splitlines())


def test_lines_of_another_life_of_the_home_do_not_count_and_are_named(life: Life) -> None:
    life.work(60)
    for folder, pattern in ((life.home.journal, "*.jsonl"), (life.home.backups, "*.json")):
        for path in Path(folder).glob(pattern):
            path.unlink()
    Path(life.home.document).unlink()
    another = Life(life.home)
    another.work(2)
    assert_same(another, "agent")
    (said,) = another.warnings()
    assert "are of events that the journal has" in said


def test_a_reader_of_a_window_reads_only_the_months_in_it(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    life.work(150)
    read: list[str] = []
    real = Archive.read
    monkeypatch.setattr(Archive, "read", lambda self, path: read.append(Path(path).name) or real(self, path))  # type: ignore[func-returns-value]
    store = Store(life.home)
    document = store.read()
    parts = parts_in(Window(NOON + 50 * DAY), lambda *how: store.run_events(document, *how))
    assert sum(part.runs for part in parts) == 300 - 3 + 3
    assert read == ["2026-06.jsonl", "2026-05.jsonl", "2026-04.jsonl"]


def test_the_commands_go_on_in_the_archive_where_the_journal_ends(
    life: Life, capsys: pytest.CaptureFixture[str]
) -> None:
    life.work(60)
    at_home = ["--home", life.home.folder]
    assert main([*at_home, "usage", "--since", "2026-02-01", "--by", "day", "--utc", "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [row["runs"] for row in answer["rows"]] == [3] * 60
    assert main([*at_home, "export", "--format", "jsonl"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sum(line["runs"] for line in lines) == 180
    assert sum(line["tokens"] for line in lines) == answer["total"]["tokens"]
    assert any(line["run_id"] is None and line["timestamp"].endswith("T12:00:00.000000Z") for line in lines)


def test_a_year_of_fifty_agents_takes_less_than_twenty_megabytes(home: Home) -> None:
    """Every day each agent works in two projects, with two models, not always well: three lines an agent and day."""
    archive, number = Archive(home.archive, Files()), 0
    for day in range(0, 365, 73):
        parts = [
            part(agent, project, model, outcome, NOON + (day + later) * DAY)
            for later in range(73)
            for agent in range(50)
            for project, model, outcome in (
                ("shop", 0, names.SUCCESS),
                ("site", 0, names.SUCCESS),
                ("site", 1, names.FAILURE),
            )
        ]
        archive.add(parts, number + 1, number + len(parts), number)
        number += len(parts)
    size = sum(Path(path).stat().st_size for path in archive.paths())
    assert size < 20e6


def part(agent: int, project: str, model: int, outcome: str, at: float) -> RunPart:
    tokens = {"input": 31_415, "output": 92_653, "cache_read": 5_897_932, "cache_write": 384_626, "cache_write_1h": 4338,
              names.COST: 3_279_502, names.PRICED: 6_406_626}  # fmt: skip
    return RunPart(
        format_timestamp(at),
        f"engineering/specialist_{agent:02}.md",
        outcome,
        f"{MODELS[model]}-20260101",
        f"~/src/{project}",
        None,
        7,
        812.345678,
        tokens,
    )
