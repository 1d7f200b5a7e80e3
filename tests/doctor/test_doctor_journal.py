"""The doctor reads the journal with its own eyes: what stands in it twice, what the document counts otherwise, what is foreign."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_tracker import names
from otel_tracker.doctor import NOTE, OK, WRONG, Finding, contents, examine, repair
from otel_tracker.doctor.audit import Audit, distinct, totals_of
from otel_tracker.doctor.compare import with_keys_of_people
from otel_tracker.doctor.subject import Subject
from otel_tracker.reporting.finding import repair_of
from otel_tracker.state.amendment import amendment_of
from otel_tracker.state.fold import fold_all
from otel_tracker.state.replay import Replay
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.journal import Journal
from otel_tracker.storage.store import Store
from tests.builders import AGENT, about, end, numbered, start
from tests.builders import document_of as a_document

OTHER = "core/critic.md"


def found(home: Home, level: str, topic: "str | None" = None) -> list[Finding]:
    return [finding for finding in examine(Store(home)) if finding.level == level and topic in (None, finding.topic)]


def edit(home: Home, change: Callable[[Any], None]) -> None:
    path = Path(home.document)
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document, indent=2))


def append(home: Home, *events: Any) -> int:
    """Append events to the journal, whatever it knows; return the number of the last one."""
    journal = Journal(home.journal, Files())
    last = journal.last()
    journal.append(numbered(list(events), last))
    return last + len(events)


def tasks(home: Home, agent: str = AGENT) -> int:
    number: int = Store(home).read().agents[agent]["metrics"]["tasks_total"]
    return number


@pytest.fixture
def used(store: Store, home: Home) -> Home:
    """Return a home with six tasks and a backup after the first."""
    for number in range(6):
        store.record([end(f"r{number}", names.FAILURE if number % 2 else names.SUCCESS)])
    return home


def count_twice(home: Home) -> None:
    """Write an end to the journal once more, and count it in the document, as a version did that had forgotten the first."""
    number = append(home, {**end("r1", names.FAILURE), "id": "another"})

    def change(document: Any) -> None:
        document["sequence"] = number
        document["agents"][AGENT]["metrics"]["tasks_total"] += 1
        document["agents"][AGENT]["metrics"]["tasks_failed"] += 1

    edit(home, change)


def test_a_run_that_the_document_counts_twice_is_found_and_mended(used: Home) -> None:
    count_twice(used)
    (finding,) = found(used, WRONG)
    assert f'$.agents["{AGENT}"].metrics.tasks_total is 7, not 6' in finding.text
    (note,) = found(used, NOTE, "journal")
    assert note.text.startswith("1 ends of a run are in it twice, the first at event 7")
    repair(Store(used))
    assert (found(used, WRONG), tasks(used)) == ([], 6)


def test_a_run_that_was_counted_twice_before_the_newest_backup_is_found_and_mended(used: Home) -> None:
    count_twice(used)
    Store(used).back_up()
    Store(used).record([end("r9")])
    (finding,) = found(used, WRONG)
    assert f"{AGENT} has 8 tasks_total, not 7" in finding.text
    assert finding.remedy == repair_of(used)
    repair(Store(used))
    assert (found(used, WRONG), tasks(used)) == ([], 7)


def test_totals_that_a_hand_has_lowered_before_the_newest_backup_are_only_noted(used: Home) -> None:
    def change(document: Any) -> None:
        document["agents"][AGENT]["metrics"].update(tasks_total=1, tasks_successful=1, tasks_failed=0)

    edit(used, change)
    Store(used).back_up()
    assert found(used, WRONG) == []
    (finding,) = found(used, NOTE)
    assert f"{AGENT} has 1 tasks_total, not 6" in finding.text
    assert repair(Store(used)) == []


def test_an_id_that_stands_in_the_journal_twice_is_said(used: Home) -> None:
    append(used, about(names.AGENT_RESET), about(names.AGENT_RESET))
    notes = [finding.text for finding in found(used, NOTE, "journal")]
    assert notes == [
        "1 ids are in it twice, the first at event 8; a repetition does not count",
    ]


def test_without_a_backup_the_totals_of_all_events_are_compared(used: Home) -> None:
    shutil.rmtree(used.backups)
    (finding,) = found(used, NOTE, "document")
    assert finding.text.endswith("; its tasks and tokens are those of all events")
    edit(used, lambda document: document["agents"][AGENT]["metrics"].update(tasks_total=99))
    (finding,) = found(used, NOTE, "document")
    assert f"{AGENT} has 99 tasks_total, not 6" in finding.text


def test_a_document_that_lags_is_said_and_written(used: Home) -> None:
    append(used, end("r7"), end("r8"), start("r9"))
    (finding,) = found(used, NOTE, "document")
    assert finding.text.startswith("it lags behind: 2 events after event 6 are only in the journal yet")
    assert repair(Store(used)) == ["wrote 2 events into the document that only the journal had"]
    assert json.loads(Path(used.document).read_bytes())["sequence"] == 9
    assert found(used, NOTE, "document") == []


def test_a_start_that_waits_for_the_next_event_is_no_lag(used: Home) -> None:
    append(used, start("r9"))
    assert found(used, NOTE, "document") == []
    assert repair(Store(used)) == []


def test_what_is_no_segment_of_this_journal_is_named(used: Home, tmp_path: Path) -> None:
    other = Store(Home(str(tmp_path / "other")))
    other.record([end(f"other {number}") for number in range(3)])
    shutil.copy(other.parts.journal.segments()[0], Path(used.journal, "4.jsonl"))
    Path(used.journal, "1.jsonl.orig").write_text("")
    paths = [finding.text.partition(" ")[0] for finding in found(used, WRONG, "journal")]
    assert paths == [os.path.join(used.journal, "1.jsonl.orig"), os.path.join(used.journal, "4.jsonl")]


@pytest.mark.parametrize("number", [10**19, 10**30, 10**400])
def test_a_huge_number_of_an_event_is_no_event(used: Home, number: int) -> None:
    with Path(used.journal, "1.jsonl").open("a") as file:
        file.write(json.dumps({**end("r9"), "seq": number}) + "\n")
    assert [finding.text for finding in found(used, NOTE)] == [
        "1 of 7 lines are no events: another program, or a person, has changed them; they don't count"
    ]
    Store(used).record([end("r10")])
    assert tasks(used) == 7


@pytest.mark.parametrize("number", [10**400, 1e308])
def test_huge_numbers_in_the_document_stop_no_doctor(used: Home, number: float) -> None:
    whole = Path(used.document).read_bytes()
    for place in leaves(json.loads(whole)):

        def change(document: Any, place: "tuple[Any, ...]" = place) -> None:
            for key in place[:-1]:
                document = document[key]
            document[place[-1]] = number

        edit(used, change)
        subject = Subject(Store(used))
        for check in (contents.document, contents.journal, contents.lag, contents.comparison, contents.running):
            list(check(subject))
        repair(Store(used))
        Path(used.document).write_bytes(whole)


def leaves(value: Any) -> "list[tuple[Any, ...]]":
    """Return the places of all numbers."""
    if not isinstance(value, (dict, list)):
        return [()] if isinstance(value, (int, float)) and not isinstance(value, bool) else []
    inside = value.items() if isinstance(value, dict) else list(enumerate(value))[:2]
    return [(key, *place) for key, inner in inside for place in leaves(inner)]


def add_keys(document: Any) -> None:
    agent = document["agents"][AGENT]
    document["team"] = {"lead": "me"}
    agent["notes"] = "mine"
    for part in ("metrics", "circuit", "durations", "tallies"):
        agent[part]["of_people"] = 1
    agent["token_usage"]["sonnet"]["price"] = 3
    agent["token_usage"]["llama"] = {"total": 5}
    document["metrics"]["budget"] = 100
    document["agents"]["core/planned.md"] = {"notes": "comes next week"}


def test_what_a_person_has_added_is_no_fault(used: Home) -> None:
    edit(used, add_keys)
    assert found(used, WRONG) == []
    assert repair(Store(used)) == []


def test_what_a_person_has_added_survives_a_repair(used: Home) -> None:
    def change(document: Any) -> None:
        add_keys(document)
        document["agents"][AGENT]["metrics"]["tasks_total"] = 99

    edit(used, change)
    (finding,) = found(used, WRONG)
    assert "in 1 place:" in finding.text
    repair(Store(used))
    document = json.loads(Path(used.document).read_bytes())
    assert (document["team"], document["metrics"]["budget"]) == ({"lead": "me"}, 100)
    agent = document["agents"][AGENT]
    assert {part: agent[part]["of_people"] for part in ("metrics", "circuit", "durations", "tallies")}
    assert (agent["notes"], agent["token_usage"]["sonnet"]["price"]) == ("mine", 3)
    assert (agent["token_usage"]["sonnet"]["count"], agent["token_usage"]["llama"]["total"]) == (6, 5)
    assert document["agents"]["core/planned.md"]["notes"] == "comes next week"
    assert (found(used, WRONG), tasks(used)) == ([], 6)


def test_a_key_of_a_person_that_a_backup_has_and_the_document_no_longer_is_not_brought_back(used: Home) -> None:
    edit(used, add_keys)
    Store(used).back_up()

    def change(document: Any) -> None:
        del document["team"]
        document["agents"][AGENT]["notes"] = "other"
        document["agents"][AGENT]["metrics"]["tasks_total"] = 99

    edit(used, change)
    repair(Store(used))
    document = json.loads(Path(used.document).read_bytes())
    assert ("team" in document, document["agents"][AGENT]["notes"]) == (False, "other")


def test_a_history_that_a_person_has_shortened_is_no_fault(used: Home) -> None:
    edit(used, lambda document: document["history"].__delitem__(slice(0, 4)))
    assert [finding for finding in examine(Store(used)) if finding.level != OK] == []


def test_a_program_that_drops_the_number_does_not_confuse_the_doctor(used: Home) -> None:
    def change(document: Any) -> None:
        del document["sequence"]

    edit(used, change)
    Store(used).record([end("r9")])
    assert tasks(used) == 7
    assert [finding for finding in examine(Store(used)) if finding.level != OK] == []


def test_what_a_restore_has_discarded_is_not_counted(used: Home) -> None:
    from otel_tracker.storage.restore import restore

    store = Store(used)
    restore(store, store.parts.backups.paths()[0], discard_later=True)
    store.record([end("r9")])
    assert tasks(used) == 2
    assert [finding for finding in examine(Store(used)) if finding.level != OK and finding.topic != "clock"] == []


@st.composite
def ended_runs(draw: st.DrawFn) -> list[Any]:
    """Draw starts, ends, repeated ends, losses that ended after all, and amendments of some runs."""
    events: list[Any] = []
    for number in range(draw(st.integers(1, 6))):
        agent, outcome = draw(st.sampled_from([AGENT, OTHER])), draw(st.sampled_from(list(names.ACTIONS)))
        tokens = draw(st.sampled_from([None, {"untyped": 7}, {"input": 3, "output": 4}]))
        models = draw(st.sampled_from([None, {"claude-sonnet-5": {"input": 3}, "claude-opus-5": {"output": 4}}]))
        model = draw(st.sampled_from([None, "sonnet", "local"]))
        told: dict[str, Any] = {"agent": agent, "tokens": tokens, "models": models, "model": model}
        first = end(f"r{number}", outcome, **told)
        later = end(
            f"r{number}", draw(st.sampled_from(list(names.ACTIONS))), after=90.0, **{**told, "tokens": {"input": 9}}
        )
        how = draw(st.sampled_from(["", "repeated", "again", "amended"]))
        if draw(st.booleans()):
            events.append(start(f"r{number}", agent=agent, model=model))
        events.append(first)
        amendment = amendment_of(first, later) if how == "amended" else None
        events += {"repeated": [first], "again": [later], "amended": [amendment] if amendment else []}.get(how, [])
    return events


@given(ended_runs())
def test_the_doctor_adds_up_what_the_fold_counts(events: list[Any]) -> None:
    events = numbered(events)
    audit = Audit(Replay(events), [len(events)], [])
    for event in events:
        audit.take(event)
    audit.finish()
    folded, added_up = totals_of(fold_all(a_document(), distinct(iter(events), []))), audit.totals[len(events)]
    assert non_zero(added_up) == non_zero(folded)


def non_zero(totals: Any) -> Any:
    return {
        agent: counters
        for agent, of_agent in totals.items()
        if (counters := {key: n for key, n in of_agent.items() if n})
    }


def test_keys_that_only_the_document_has_are_kept_at_any_level() -> None:
    given_by_journal, actual = a_document({"agents": {AGENT: {"failures": 3}}}).head, a_document({"x": 1}).head
    assert with_keys_of_people(given_by_journal, actual) == {**given_by_journal, "x": 1}
