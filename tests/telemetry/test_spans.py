"""Spans of what was recorded without one, and `otel-tracker spans` with an exporter that does as it is told."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, SpanKind, StatusCode

from otel_tracker import MetricTracker, TaskTracker, __version__, names
from otel_tracker.cli import main
from otel_tracker.cli import spans as command
from otel_tracker.storage import journal, lock
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from otel_tracker.telemetry.spans import span_of
from tests.builders import AGENT, NOON, about, end, start

SUCCESS, FAILURE = SpanExportResult.SUCCESS, SpanExportResult.FAILURE
TRACE, SPAN, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "b7ad6b7169203331"
RESOURCE = Resource({"service.name": "test"})


def unexported(run_id: str = "run", outcome: str = names.SUCCESS, **known: Any) -> dict[str, Any]:
    return end(run_id, outcome, unexported=True, **known)


def span(**known: Any) -> ReadableSpan:
    made = span_of(unexported(**known), RESOURCE)
    assert made is not None
    return made


def context_of(made: ReadableSpan) -> SpanContext:
    context = made.context
    assert isinstance(context, SpanContext)
    return context


def attributes_of(made: ReadableSpan) -> dict[str, Any]:
    return dict(made.attributes or {})


def test_a_span_has_the_true_times_ids_and_parent_of_its_task() -> None:
    made = span(after=60.0, duration_seconds=12.5, trace_id=TRACE, span_id=SPAN, parent_span_id=PARENT)
    assert (made.name, made.kind, made.resource) == (f"invoke_agent {AGENT}", SpanKind.INTERNAL, RESOURCE)
    assert (made.start_time, made.end_time) == (round((NOON + 47.5) * 1e9), round((NOON + 60) * 1e9))
    assert (context_of(made).trace_id, context_of(made).span_id) == (int(TRACE, 16), int(SPAN, 16))
    assert context_of(made).trace_flags.sampled
    assert not context_of(made).is_remote
    assert made.parent is not None
    assert (made.parent.trace_id, made.parent.span_id, made.parent.is_remote) == (int(TRACE, 16), int(PARENT, 16), True)
    scope = made.instrumentation_scope
    assert scope is not None
    assert (scope.name, scope.version, scope.schema_url) == ("otel_tracker", __version__, names.SCHEMA_URL)


def test_a_span_says_what_the_task_has_said() -> None:
    tokens = {"input": 10, "output": 20, "cache_read": 300, "cache_write": 4000}
    made = span(
        model="opus",
        task_id="t1",
        tokens=tokens,
        models={"claude-opus-5": tokens},
        conversation_id="c1",
        estimated=True,
        fallback_for="core/architect.md",
    )
    assert attributes_of(made) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": AGENT,
        "gen_ai.request.model": "opus",
        "gen_ai.response.model": "claude-opus-5",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.conversation.id": "c1",
        "gen_ai.usage.input_tokens": 4310,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 300,
        "gen_ai.usage.cache_creation.input_tokens": 4000,
        "otel_tracker.run_id": "run",
        "otel_tracker.task_id": "t1",
        "otel_tracker.outcome": "success",
        "otel_tracker.tokens_used": 4330,
        "otel_tracker.tokens_estimated": True,
        "otel_tracker.fallback_for": "core/architect.md",
    }
    assert attributes_of(span(model=None)).keys() == {
        "gen_ai.operation.name",
        "gen_ai.agent.name",
        "otel_tracker.run_id",
        "otel_tracker.outcome",
    }
    assert attributes_of(span(model=None, models={"gpt-7": None}))["gen_ai.provider.name"] == "_OTHER"


@pytest.mark.parametrize(
    ("outcome", "known", "status", "error_type"),
    [
        (names.SUCCESS, {}, (StatusCode.UNSET, None), None),
        (names.CANCELLED, {"reason": "interrupted"}, (StatusCode.UNSET, None), None),
        (names.FAILURE, {"error": "exit status 2"}, (StatusCode.ERROR, "exit status 2"), "_OTHER"),
        (names.FAILURE, {"error": "x", "error_type": "KeyError"}, (StatusCode.ERROR, "x"), "KeyError"),
        (names.FAILURE, {"error": "429", "environment_error": "rate_limit"}, (StatusCode.ERROR, "429"), "rate_limit"),
        (names.LOST, {"reason": "its process is gone"}, (StatusCode.ERROR, "its process is gone"), "_OTHER"),
    ],
)
def test_the_status_is_an_error_where_the_task_failed_or_is_lost(
    outcome: str, known: dict[str, str], status: tuple[StatusCode, str | None], error_type: str | None
) -> None:
    made = span(outcome=outcome, **known)
    assert (made.status.status_code, made.status.description) == status
    assert attributes_of(made).get("error.type") == error_type
    assert attributes_of(made)["otel_tracker.outcome"] == outcome


def test_missing_ids_follow_from_the_run() -> None:
    first, again, other = span(run_id="r1"), span(run_id="r1", after=90.0), span(run_id="r2")
    assert context_of(first) == context_of(again)
    assert context_of(first).is_valid
    assert first.parent is None
    assert context_of(first).trace_id != context_of(other).trace_id
    assert context_of(span(run_id="\ud800")).is_valid  # half of a character is no reason to stop


@pytest.mark.parametrize("damaged", ["", "no id", "0" * 16, 7, SPAN * 2])
def test_damaged_ids_are_replaced_by_those_of_the_run(damaged: object) -> None:
    made = span(trace_id=TRACE, span_id=damaged, parent_span_id=damaged)
    assert (made.context, made.parent) == (span().context, None)


def test_times_are_as_far_as_they_are_known() -> None:
    lost = span(outcome=names.LOST, after=60.0, duration_seconds=60.0)
    assert (lost.start_time, lost.end_time) == (round(NOON * 1e9), round((NOON + 60) * 1e9))
    unmeasured = span_of({**unexported(after=60.0), "started": None, "duration_seconds": None}, RESOURCE)
    timed = span_of({**unexported(after=60.0), "started": None, "duration_seconds": 15.0}, RESOURCE)
    assert unmeasured is not None
    assert timed is not None
    assert unmeasured.start_time == unmeasured.end_time == round((NOON + 60) * 1e9)
    assert timed.start_time == round((NOON + 45) * 1e9)
    jumped = span(after=60.0, started="2026-02-15T18:00:00Z")
    assert jumped.start_time == jumped.end_time == round((NOON + 60) * 1e9)


def test_what_is_no_task_or_is_exported_has_no_span() -> None:
    others = [
        end(),
        start(),
        about(names.TASK_AMENDED, outcome=names.SUCCESS, previous_outcome=names.LOST, run_id="run", unexported=True),
        about(names.AGENT_RESET, unexported=True),
    ]
    assert [span_of(event, RESOURCE) for event in others] == [None] * len(others)


class FakeExporter(SpanExporter):
    """Takes what it gets, and answers as `answers` says, then with success."""

    answers: ClassVar[list[SpanExportResult | Exception | KeyboardInterrupt]] = []
    batches: ClassVar[list[list[ReadableSpan]]] = []
    made: ClassVar[list["FakeExporter"]] = []

    def __init__(self) -> None:
        self.is_shut_down = False
        self.made.append(self)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.batches.append(list(spans))
        answer = self.answers.pop(0) if self.answers else SUCCESS
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def shutdown(self) -> None:
        self.is_shut_down = True


class EntryPoint:
    def load(self) -> type[SpanExporter]:
        return FakeExporter


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Make FakeExporter the only exporter, by any name but `missing`, and return the names that are asked for."""
    asked: list[str] = []

    def find(*, group: str, name: str) -> list[EntryPoint]:
        assert group == "opentelemetry_traces_exporter"
        asked.append(name)
        return [] if "missing" in name else [EntryPoint()]

    for name in ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(command, "entry_points", find)
    FakeExporter.answers, FakeExporter.batches, FakeExporter.made = [], [], []
    yield asked
    assert all(exporter.is_shut_down for exporter in FakeExporter.made)


@pytest.fixture
def export(home: Home) -> Callable[..., int]:
    """Run `otel-tracker spans`, and return its exit status."""
    return lambda *arguments: main(["spans", "--home", home.folder, *arguments])


def exported() -> list[str]:
    """Return the runs of all spans that an exporter has got, in their order."""
    return [str(attributes_of(made)["otel_tracker.run_id"]) for batch in FakeExporter.batches for made in batch]


def position(home: Home) -> Any:
    return json.loads(Path(home.spans_position).read_bytes())


def runs(number: int, first: int = 0) -> list[str]:
    return [f"r{one}" for one in range(first, first + number)]


def record(store: Store, wanted: list[str]) -> None:
    store.record([unexported(run) for run in wanted])


def test_spans_go_in_batches_of_512_each_once(
    store: Store, home: Home, export: Callable[..., int], capsys: Any
) -> None:
    record(store, runs(1200))
    assert export() == 0
    assert [len(batch) for batch in FakeExporter.batches] == [512, 512, 176]
    assert exported() == runs(1200)
    assert position(home) == {"seq": store.read().sequence}
    assert export() == 0
    record(store, runs(2, 1200))
    assert export() == 0
    assert exported() == runs(1202)
    assert capsys.readouterr().out.splitlines() == ["exported 1,200 spans", "exported 0 spans", "exported 2 spans"]


@pytest.fixture
def segments(store: Store, home: Home, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Record 40 tasks in several segments of the journal, and return these."""
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 2000)
    for run in runs(40):
        record(store, [run])
    found = [Path(segment) for segment in store.parts.journal.segments()]
    assert len(found) > 3
    return found


@pytest.mark.usefixtures("segments")
def test_from_any_place_on_all_that_comes_later_is_exported(home: Home, export: Callable[..., int]) -> None:
    for place in range(41):
        FakeExporter.batches = []
        Path(home.spans_position).write_text(json.dumps({"seq": place}))
        assert export() == 0
        assert exported() == runs(40 - place, place)
        assert position(home) == {"seq": 40}


def test_a_segment_that_is_deleted_meanwhile_is_passed_over(store: Store, segments: list[Path]) -> None:
    found = store.parts.journal.segments_after(0)
    first = next(found)
    segments[1].unlink()
    numbers = [event["seq"] for events in (first, *found) for event in events]
    lost = range(int(segments[1].stem), int(segments[2].stem))
    assert numbers == [number for number in range(1, 41) if number not in lost]


def test_a_line_that_is_not_yet_written_whole_waits_for_the_next_run(
    store: Store, home: Home, export: Callable[..., int]
) -> None:
    record(store, runs(2))
    (segment,) = Path(home.journal).glob("*.jsonl")
    whole = segment.read_bytes()
    segment.write_bytes(whole[:-20])
    assert export() == 0
    assert exported() == ["r0"]
    segment.write_bytes(whole)
    assert export() == 0
    assert exported() == ["r0", "r1"]


def test_tasks_that_have_an_exported_span_are_passed_over_for_good(
    store: Store, home: Home, export: Callable[..., int]
) -> None:
    store.record([end("exported"), start("running"), unexported("shell")])
    store.record([end("exported later")])
    assert export() == 0
    assert exported() == ["shell"]
    assert position(home) == {"seq": store.read().sequence}


def test_the_tasks_of_a_program_without_an_sdk_have_their_spans_ids(
    tracker: MetricTracker, export: Callable[..., int]
) -> None:
    with TaskTracker(AGENT, tracker=tracker) as task:
        task.set_tokens_used(5)
    tracker.record_task_failure("b.md", tracker.record_task_start("b.md"), "no")
    assert export() == 0
    entries = tracker.get_history()
    ((first, second),) = FakeExporter.batches
    for entry, made in zip(entries, (first, second), strict=True):
        assert (f"{context_of(made).trace_id:032x}", f"{context_of(made).span_id:016x}") == (
            entry["trace_id"],
            entry["span_id"],
        )
    assert attributes_of(first)["otel_tracker.tokens_used"] == 5
    assert second.status.description == "no"


@pytest.mark.parametrize("answer", [FAILURE, ConnectionError("refused")])
def test_the_place_moves_only_when_the_receiver_has_taken_a_batch(
    store: Store, home: Home, export: Callable[..., int], capsys: Any, answer: SpanExportResult | Exception
) -> None:
    record(store, runs(1200))
    FakeExporter.answers[:] = [SUCCESS, answer]
    assert export() == 1
    assert position(home) == {"seq": 512}
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "cannot export 512 spans: FakeExporter reports " in said.err
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in said.err
    FakeExporter.batches.clear()
    assert export() == 0
    assert exported() == runs(688, 512)


def test_ctrl_c_in_the_middle_is_no_success(store: Store, home: Home, export: Callable[..., int], capsys: Any) -> None:
    record(store, runs(600))
    FakeExporter.answers[:] = [SUCCESS, KeyboardInterrupt()]
    assert export() == 130
    assert position(home) == {"seq": 512}
    assert capsys.readouterr().out == ""


def test_follow_waits_for_the_receiver_and_for_what_comes(
    store: Store, export: Callable[..., int], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: Iterator[Callable[[], None]] = iter(
        [lambda: None, lambda: record(store, ["later"]), lambda: record(store, ["at last"])]
    )

    def pause(_: float) -> None:
        next(steps, interrupt)()

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", pause)
    record(store, ["first"])
    FakeExporter.answers[:] = [FAILURE]
    assert export("--follow") == 0
    assert exported() == ["first", "first", "later", "at last"]
    said = capsys.readouterr()
    assert (said.out, said.err.count("cannot export 1 span")) == ("", 1)


@pytest.mark.parametrize(
    "damaged",
    [b"", b"\xff\x00", b"[]", b"7", b"{}", b'{"seq": null}', b'{"seq": "x"}', b'{"seq": 1e999}', b"[" * 100_000],
)
def test_a_place_that_cannot_be_read_begins_anew(
    store: Store, home: Home, export: Callable[..., int], damaged: bytes
) -> None:
    record(store, runs(2))
    Path(home.spans_position).write_bytes(damaged)
    assert export() == 0
    assert exported() == runs(2)
    assert position(home) == {"seq": store.read().sequence}


def test_a_home_without_a_journal_has_nothing_to_export(home: Home, export: Callable[..., int], capsys: Any) -> None:
    assert export() == 0
    assert capsys.readouterr().out == "exported 0 spans\n"
    assert not Path(home.spans_position).exists()


def test_a_second_one_of_the_same_home_is_refused(
    store: Store, home: Home, export: Callable[..., int], capsys: Any
) -> None:
    record(store, runs(1))
    with lock.held(f"{home.spans_position}.lock", Files()):
        assert export() == 1
        assert export("--follow") == 1
    assert "only one process may" in capsys.readouterr().err
    assert exported() == []
    for exporter in FakeExporter.made:
        exporter.shutdown()
    assert export() == 0
    assert exported() == ["r0"]


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, "otlp_proto_http"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "otlp_proto_grpc"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "otlp_proto_http"),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
            "otlp_proto_http",
        ),
        ({"OTEL_TRACES_EXPORTER": "circuit_breaker"}, "otlp_proto_http"),
        ({"OTEL_TRACES_EXPORTER": "circuit_breaker, otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "otlp_proto_grpc"),
        ({"OTEL_TRACES_EXPORTER": " console ,otlp"}, "console"),
    ],
)
def test_the_exporter_is_the_one_that_the_environment_names(
    export: Callable[..., int],
    asked: list[str],
    environment: dict[str, str],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert export() == 0
    assert asked == [name]


def test_an_exporter_that_is_missing_is_named(
    export: Callable[..., int], home: Home, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "missing_one")
    assert export() == 1
    assert capsys.readouterr().err == (
        "otel-tracker: cannot export spans with missing_one: no exporter of this name is installed; "
        "install the package that brings it\n"
    )
    assert not Path(home.folder).exists()


def test_without_the_package_of_grpc_its_name_is_said(
    export: Callable[..., int], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "entry_points", lambda **_: [])
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    assert export() == 1
    assert capsys.readouterr().err.endswith("pip install opentelemetry-exporter-otlp-proto-grpc\n")


def test_where_nothing_is_to_be_exported_nothing_is(
    store: Store, export: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    record(store, runs(1))
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    assert export() == 0
    assert capsys.readouterr().out == "OTEL_TRACES_EXPORTER is none: nothing is exported\n"
    assert exported() == []


def test_a_task_that_was_lost_and_ended_after_all_is_exported_once(
    store: Store, export: Callable[..., int], capsys: Any
) -> None:
    store.record([unexported("r1", names.LOST)])
    assert export() == 0
    store.record([unexported("r1", after=90), unexported("r2", after=90)])
    assert export() == 0
    assert exported() == ["r1", "r2"]


@pytest.mark.parametrize("order", [(names.LOST, names.SUCCESS), (names.SUCCESS, names.LOST)])
def test_of_two_ends_of_a_task_in_one_batch_the_true_one_is_exported(
    store: Store, export: Callable[..., int], order: tuple[str, str]
) -> None:
    store.record([unexported("r1", order[0]), unexported("r2"), unexported("r1", order[1], after=90)])
    assert export() == 0
    assert exported() == ["r1", "r2"]
    (first, _) = FakeExporter.batches[0]
    assert attributes_of(first)["otel_tracker.outcome"] == names.SUCCESS
    assert export() == 0
    assert exported() == ["r1", "r2"]


def test_the_span_of_a_lost_task_that_ended_after_all_says_what_its_end_said(
    store: Store, export: Callable[..., int]
) -> None:
    tokens = {"input": 10, "output": 20}
    lost = unexported("r1", names.LOST, reason="its process is gone", tokens={"input": 4}, trace_id=TRACE, span_id=SPAN)
    true = unexported("r1", after=90, duration_seconds=90.0, tokens=tokens, models={"claude-opus-5": tokens})
    true |= {"trace_id": TRACE, "span_id": SPAN}
    store.record([lost])
    store.record([true])
    assert export() == 0
    ((made,),) = FakeExporter.batches
    expected = span_of(true, Resource.create())
    assert expected is not None
    assert attributes_of(made) == attributes_of(expected)
    assert (made.start_time, made.end_time) == (expected.start_time, expected.end_time)
    assert (made.status.status_code, made.context) == (StatusCode.UNSET, expected.context)


def test_a_lost_task_whose_own_process_has_exported_its_span_after_all_is_left_out(
    store: Store, export: Callable[..., int]
) -> None:
    store.record([unexported("r1", names.LOST)])
    store.record([end("r1", after=90)])
    assert export() == 0
    assert exported() == []


def test_the_place_in_a_journal_that_is_no_more_is_forgotten(
    store: Store, home: Home, export: Callable[..., int], capsys: Any
) -> None:
    Path(home.spans_position).parent.mkdir(parents=True, exist_ok=True)
    Path(home.spans_position).write_text('{"seq": 1000}')
    record(store, runs(2))
    assert export() == 0
    assert exported() == runs(2)
