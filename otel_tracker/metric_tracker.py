"""`MetricTracker`: the API of the v7.0 specification. It records through spans, and reads what everybody recorded."""

import copy
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from otel_tracker import event, names, reports, summary
from otel_tracker.document import Document
from otel_tracker.errors import InvalidValueError, UnknownAgentError
from otel_tracker.guard import Guard
from otel_tracker.log import warn
from otel_tracker.owner import boot_clock
from otel_tracker.storage.files import Files
from otel_tracker.storage.past import history
from otel_tracker.storage.recorder import Recorder
from otel_tracker.storage.registry import recorder_of
from otel_tracker.timestamps import format_timestamp
from otel_tracker.tokens import EstimatedTokens

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from otel_tracker.pipeline import Pipeline


class _Start(NamedTuple):
    """A start that this process has recorded and not yet ended."""

    run_id: str
    clock: float
    model: str | None
    task_id: str | None


_guard = Guard()
_starts: dict[tuple[str, str, str], _Start] = {}
_REMEMBERED_STARTS = 10_000


class MetricTracker:
    """Records tasks of agents in the document at `config_file`, by default that of the home, and answers from it.

    Safe from several threads and processes: what anybody recorded before a `get_*` is in its answer. Spans go to
    `tracer_provider`, else to the provider that the application has set, else to one of this package's own.
    """

    def __init__(
        self,
        config_file: "str | os.PathLike[str] | None" = None,
        *,
        tracer_provider: "TracerProvider | None" = None,
    ) -> None:
        self._recorder = recorder_of(config_file)
        self._store = self._recorder.store
        self._tracer_provider = tracer_provider
        self._pipeline: Pipeline | None = None
        self._has_complained = False

    @property
    def config_file(self) -> Path:
        """The path of the document."""
        return Path(self._store.home.document)

    @property
    def pipeline(self) -> "Pipeline":
        """The way that the tasks of this tracker take; made, and the SDK loaded, when the first one needs it."""
        if self._pipeline is None:
            from otel_tracker.pipeline import Pipeline

            self._pipeline = Pipeline(self._recorder, self._tracer_provider)
        return self._pipeline

    def register_agent(self, agent_name: str, agent_file: str) -> None:
        """Give the agent with the key `agent_file` a name, and an entry in the document if it has none."""
        agent, name = event.checked_agent(agent_file), event.checked_agent(agent_name)
        self._store.record([event.about_agent(agent, names.AGENT_REGISTERED, name=name)])

    def record_task_start(self, agent_file: str, task_id: str | None = None, model: str | None = "sonnet") -> str:
        """Record that a task begins, and return its start's timestamp, which is unique within this process."""
        agent = event.checked_agent(agent_file)
        task_id, model = event.checked_text("a task id", task_id), event.checked_text("a model", model)
        run_id, at = event.new_id(), time.time()
        with _guard:
            while (key := self._start_key(agent, format_timestamp(at))) in _starts:
                at += 1e-6
            if len(_starts) >= _REMEMBERED_STARTS:
                del _starts[next(iter(_starts))]
            _starts[key] = _Start(run_id, time.perf_counter(), model, task_id)
        started = event.task_started(
            agent, at, run_id=run_id, model=model, task_id=task_id, owner=None, clock=boot_clock()
        )
        self._recorder.announce(lambda: started)
        return key[-1]

    def record_task_complete(
        self,
        agent_file: str,
        start_timestamp: str,
        tokens_used: int = 0,
        model: str | None = "sonnet",
        task_id: str | None = None,
    ) -> float:
        """Record that a task succeeded, and return how long it took, in seconds. 0 tokens are taken as unmeasured."""
        tokens = event.checked_tokens(tokens_used)
        usage = {"untyped": tokens} if tokens else None
        estimated = isinstance(tokens_used, EstimatedTokens) or None
        return self._end(agent_file, start_timestamp, names.SUCCESS, model, task_id, tokens=usage, estimated=estimated)

    def record_task_failure(
        self,
        agent_file: str,
        start_timestamp: str,
        error_message: str | None = None,
        model: str | None = "sonnet",
        task_id: str | None = None,
    ) -> float:
        """Record that a task failed, and return how long it took, in seconds."""
        message = event.error_text(error_message)
        return self._end(agent_file, start_timestamp, names.FAILURE, model, task_id, error=message)

    def record_task_cancelled(
        self, agent_file: str, start_timestamp: str, reason: str | None = None, task_id: str | None = None
    ) -> float:
        """Record that a task was cancelled, and return how long it took, in seconds."""
        message = event.error_text(reason)
        return self._end(agent_file, start_timestamp, names.CANCELLED, None, task_id, reason=message)

    def update_token_usage(self, agent_file: str, model: str, tokens: int) -> None:
        """Add tokens to an agent's usage of a model; the number of tasks stays."""
        agent, number = event.checked_agent(agent_file), event.checked_tokens(tokens)
        if event.checked_text("a model", model) is None:
            raise InvalidValueError("a model", model, 'a text such as "sonnet"')
        amended = event.about_agent(
            agent, names.TASK_AMENDED, model=model, tokens_used=number, tokens={"untyped": number}
        )
        self._recorder.record(lambda: amended)

    def get_agent(self, agent_file: str) -> dict[str, Any]:
        """Return an agent's entry as the document has it; raises UnknownAgentError."""
        return copy.deepcopy(self._known(self._read(), agent_file))

    def get_agent_metrics(self, agent_file: str) -> dict[str, Any]:
        """Return an agent's entry as of now, with `agent_file`, `agent_name`, `state`, `in_flight`, `success_rate`.

        Raises UnknownAgentError.
        """
        document = self._read()
        self._known(document, agent_file)
        return copy.deepcopy(summary.agent_state(document, agent_file, time.time()))

    def get_system_metrics(self) -> dict[str, Any]:
        """Return the counters over all agents, and `success_rate` (0 to 1, None without a task)."""
        return summary.system_metrics(self._read())

    def get_leaderboard(self, metric: str = summary.DEFAULT_METRIC, top_n: int = 10) -> list[dict[str, Any]]:
        """Return at most `top_n` agents by a metric, the highest first; by `avg_duration_seconds` the fastest first.

        Raises UnknownMetricError.
        """
        return summary.leaderboard(self._read(), metric, event.checked_tokens(top_n, "a number of agents"))

    def get_token_summary(self) -> dict[str, dict[str, Any]]:
        """Return `total`, `count` and `avg` of tokens by model."""
        return summary.token_summary(self._read())

    def get_history(self, agent_file: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """Return the newest `limit` entries of the history, of one agent or of all, oldest first.

        What the document no longer holds comes from the journal.
        """
        self._recorder.flush()
        return history(self._store, agent_file, event.checked_tokens(limit, "a limit"))

    def generate_report(self, output_file: "str | os.PathLike[str] | None" = None) -> str:
        """Return a report in Markdown, and write it to `output_file` if there is one."""
        text = reports.markdown(self._read(), time.time())
        if output_file is not None:
            Files().replace(os.path.abspath(output_file), [text.encode()])
        return text

    def check_agent_health(self, agent_file: str) -> bool:
        """Tell whether a task of the agent would be let through now. Nothing is changed by asking.

        But where a clock that has jumped back would refuse the agent for long, that is put right first.
        """
        document, now = self._read(), time.time()
        if summary.has_jumped_cooldown(document, agent_file, now):
            self._store.settle()
        return summary.is_admitted(document, agent_file, now)

    def reset_agent_failures(self, agent_file: str) -> None:
        """Close the agent's breaker and forget its failures, after a backup; raises UnknownAgentError."""
        self._known(self._read(), agent_file)
        self._store.back_up()
        self._store.record([event.about_agent(agent_file, names.AGENT_RESET)])

    def save(self, backup: bool = True) -> None:
        """Write the document anew, without the history that is out of date, after a backup if wanted."""
        self._recorder.flush()
        if backup:
            self._store.back_up()
        self._store.rewrite()

    def _read(self) -> Document:
        self._recorder.flush()
        return self._store.read()

    def _known(self, document: Document, agent: str) -> dict[str, Any]:
        if agent in document.agents:
            return document.agents[agent]
        from difflib import get_close_matches

        similar = get_close_matches(str(agent), document.agents, n=2)
        raise UnknownAgentError(agent, self._store.home.document, tuple(similar))

    def _start_key(self, agent: str, start: str) -> tuple[str, str, str]:
        return self._store.home.document, agent, start

    def _end(
        self,
        agent_file: str,
        start_timestamp: str,
        outcome: str,
        model: str | None,
        task_id: str | None,
        **known: Any,
    ) -> float:
        agent, started_at = event.checked_agent(agent_file), event.checked_timestamp("a start", start_timestamp)
        task_id, model = event.checked_text("a task id", task_id), event.checked_text("a model", model)
        ended_at = time.time()
        with _guard:
            start = _starts.pop(self._start_key(agent, start_timestamp), None)
        if start is not None:
            duration = time.perf_counter() - start.clock
            model, task_id = model or start.model, task_id or start.task_id
        else:
            duration = ended_at - started_at
        known["clock_skew"] = True if duration < 0 else None
        ended = event.task_ended(
            agent,
            outcome,
            ended_at,
            run_id=start.run_id if start else None,
            started=start_timestamp,
            duration_seconds=max(0.0, duration),
            model=model,
            task_id=task_id,
            **known,
        )
        try:
            pipeline = self.pipeline
        except Exception as error:  # noqa: BLE001 - no file can be opened, say: then there is no span
            if not self._has_complained:
                self._has_complained = True
                warn("tasks are recorded without their spans: %r", error)
            self._recorder.record(lambda: ended)
        else:
            pipeline.record_span(ended, started_at, ended_at)
        return max(0.0, duration)


_defaults: dict[Recorder, MetricTracker] = {}


def default_tracker() -> MetricTracker:
    """Return the tracker of the home that the environment names at this moment; one for each home."""
    recorder = recorder_of()
    known = _defaults.get(recorder)
    if known is None:
        known = _defaults[recorder] = MetricTracker()
    return known
