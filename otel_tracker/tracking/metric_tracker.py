"""`MetricTracker`: the API of the v7.0 specification. It records through spans, and answers from what all processes have recorded."""

import copy
import os
import sys
import time
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otel_tracker import names
from otel_tracker.errors import InvalidValueError
from otel_tracker.reporting import markdown, summary
from otel_tracker.reporting.aggregate import parts_in
from otel_tracker.reporting.attention import attention
from otel_tracker.reporting.recent import recent, recent_window
from otel_tracker.runtime.environment import is_disabled
from otel_tracker.runtime.ids import new_id
from otel_tracker.runtime.interrupts import is_interrupt
from otel_tracker.runtime.log import warn
from otel_tracker.runtime.owner import boot_clock, is_seen_gone
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.runtime.writer import Receipt
from otel_tracker.state import event, lookup, outages, permission
from otel_tracker.state.document import Document
from otel_tracker.state.shapes import Event
from otel_tracker.storage import orders
from otel_tracker.storage.files import Files
from otel_tracker.storage.registry import recorder_of
from otel_tracker.tracking import starts
from otel_tracker.tracking.gate import Gate, Rejection, Selection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from opentelemetry.trace import TracerProvider

    from otel_tracker.reporting.attention import Attention
    from otel_tracker.tracking.permit import Permit
    from otel_tracker.tracking.pipeline import Pipeline


class MetricTracker:
    """Records tasks of agents in the document at `config_file`, by default that of the home, and answers from it.

    Safe from several threads and processes: the answer of a `get_*` includes all that any process has recorded before. Spans go to
    `tracer_provider`, else to the provider that the application has set, else to one of this package's own.

    `agent_file` is the agent's key (`core/coder.md`), in each method. Those that ask or change an agent that is known also find it by its
    former key, its name or its file's stem (`coder`), and raise AmbiguousAgentError where several have that. A timestamp is a text in
    UTC (`2026-02-15T21:30:00.123456Z`). Recording never raises for what happens to files: events that can't be written now are
    written later. A method that answers raises StorageError or DocumentError where the document can't be read.
    """

    def __init__(
        self,
        config_file: "str | os.PathLike[str] | None" = None,
        *,
        tracer_provider: "TracerProvider | None" = None,
    ) -> None:
        self._recorder = recorder_of(config_file)
        self._store = self._recorder.store
        self.gate = Gate(self._recorder)
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
            from otel_tracker.tracking.pipeline import Pipeline

            self._pipeline = Pipeline(self.gate, self._tracer_provider)
        return self._pipeline

    def register_agent(self, agent_name: str, agent_file: str) -> None:
        """Give the agent with the key `agent_file` a name, and an entry in the document if it has none.

        Raises InvalidValueError, and StorageError where that can't be written.
        """
        agent, name = event.checked_agent(agent_file), event.checked_agent(agent_name)
        if is_disabled():
            return
        self._store.record([event.happened(names.AGENT_REGISTERED, time.time(), agent=agent, name=name)])

    def record_task_start(self, agent_file: str, task_id: str | None = None, model: str | None = "sonnet") -> str:
        """Record that a task begins, and return its start's timestamp, which is unique within this process.

        Hand that to one of the three methods below, in this or in another process. A task that none of them ends counts as lost after
        the setting `in_flight_max_hours` (24). Raises InvalidValueError.
        """
        agent = event.checked_agent(agent_file)
        task_id, model = event.checked_text("a task id", task_id), event.checked_model(model)
        run_id = new_id()
        start = starts.Start(run_id, time.perf_counter(), model, task_id)
        at = starts.remember(self._store.home.document, agent, start, time.time())
        started = event.task_started(
            agent, at, run_id=run_id, model=model, task_id=task_id, owner=None, clock=boot_clock()
        )
        timestamp: str = started["timestamp"]
        try:
            self._recorder.announce(started)
            return timestamp  # noqa: TRY300 - an interrupt here is one of the start, too
        except BaseException:  # an interrupt: the caller doesn't get the timestamp that would end the task
            ended = event.task_ended(
                agent,
                names.CANCELLED,
                at,
                run_id=run_id,
                started=timestamp,
                duration_seconds=0.0,
                model=model,
                task_id=task_id,
                reason="interrupted",
            )
            self._recorder.submit(ended)
            raise

    def record_task_complete(
        self,
        agent_file: str,
        start_timestamp: str,
        tokens_used: float = 0,
        model: str | None = "sonnet",
        task_id: str | None = None,
        *,
        estimated: bool = False,
    ) -> float:
        """Record that a task succeeded, and return how long it took, in seconds.

        0 tokens are taken as unmeasured; `estimated` says that their number was estimated. Raises InvalidValueError.
        """
        tokens = event.checked_tokens(tokens_used)
        fields = {"tokens": {"untyped": tokens}, "estimated": estimated or None} if tokens else {}
        return self._end(agent_file, start_timestamp, names.SUCCESS, model, task_id, **fields)

    def record_task_failure(
        self,
        agent_file: str,
        start_timestamp: str,
        error_message: str | None = None,
        model: str | None = "sonnet",
        task_id: str | None = None,
    ) -> float:
        """Record that a task failed, and return how long it took, in seconds.

        Secrets in `error_message` are masked, and it is cut at 500 characters. If it begins as one of a rate limit, an
        outage or a login that has expired does, the failure doesn't count for the breaker. Raises InvalidValueError.
        """
        fields = {"error": event.error_text(error_message), "environment_error": outages.outage_of(None, error_message)}
        return self._end(agent_file, start_timestamp, names.FAILURE, model, task_id, **fields)

    def record_task_cancelled(
        self, agent_file: str, start_timestamp: str, reason: str | None = None, task_id: str | None = None
    ) -> float:
        """Record that a task was cancelled, neither a success nor a failure, and return how long it took, in seconds.

        Raises InvalidValueError.
        """
        message = event.error_text(reason)
        return self._end(agent_file, start_timestamp, names.CANCELLED, None, task_id, reason=message)

    def update_token_usage(self, agent_file: str, model: str, tokens: float) -> None:
        """Add tokens to an agent's usage of a model; the number of tasks stays. Raises InvalidValueError."""
        agent, number = event.checked_agent(agent_file), event.checked_tokens(tokens)
        if event.checked_model(model) is None:
            raise InvalidValueError("a model", model, 'a text such as "sonnet"')
        amended = event.happened(
            names.TASK_AMENDED, time.time(), agent=agent, model=model, tokens_used=number, tokens={"untyped": number}
        )
        self._recorder.record(amended)

    def get_agent(self, agent_file: str) -> dict[str, Any]:
        """Return an agent's entry as the document has it (docs/document.md), a copy; raises UnknownAgentError."""
        document, agent = self._looked_up(agent_file)
        return copy.deepcopy(document.agents[agent])

    def get_agent_metrics(self, agent_file: str) -> dict[str, Any]:
        """Return an agent's entry as of now: the keys that the document has (docs/document.md), and those of the answer.

        These are `agent_file`, `agent_name`, `state` of the breaker (`closed`, `open`, `half_open`), `in_flight` (running tasks),
        `success_rate` (0 to 1, cancelled tasks left out, None without a task), `cost_usd` (None where no token has a price),
        `unpriced_tokens`, `unpriced_models`, `usage_incomplete` (runs whose last usage is missing: more than none, and tokens are at least
        that), `permit` and `override` (None where none is in force). Raises UnknownAgentError.
        """
        document, agent = self._looked_up(agent_file)
        return copy.deepcopy(summary.agent_state(document, agent, time.time()))

    def get_system_metrics(self) -> dict[str, Any]:
        """Return the counters over all agents: `total_requests` (ended tasks), `successful`, `failed`, `cancelled`, `total_agents`.

        And `success_rate` (0 to 1, cancelled tasks left out, None without a task), `cost_usd` in US dollars (None where no
        token has a price), `unpriced_tokens` and `unpriced_models`.
        """
        return summary.system_metrics(self._read())

    def get_leaderboard(self, metric: str = summary.DEFAULT_METRIC, top_n: int = 10) -> list[dict[str, Any]]:
        """Return at most `top_n` agents by a metric, the highest first; by `avg_duration_seconds` the fastest first.

        `metric` is `tasks_total`, `tasks_successful`, `tasks_failed`, `tasks_cancelled`, `avg_duration_seconds`,
        `total_duration_seconds`, `tokens_total`, `cost_usd` or `failures` (in a row). Each row has all of these, `agent_file`,
        `agent_name` and `success_rate`. Raises UnknownMetricError, InvalidValueError.
        """
        return summary.leaderboard(self._read(), metric, event.checked_count(top_n, "a number of agents"))

    def get_token_summary(self) -> dict[str, dict[str, Any]]:
        """Return tokens by model, as people call it (`sonnet`): a dict of dicts.

        `total`, those by type (`input`, `output`, `cache_read`, `cache_write`, `untyped`, which exclude each other), `count` (of tasks), `measured`
        (tasks whose tokens are known; None where a file of v7.0 lacks it), `avg` of a measured task (None without any), `cost_usd` (None
        where no token has a price), `unpriced_tokens`, `unpriced_models` and `usage_incomplete` (more than none: tokens are at least that).
        """
        return summary.token_summary(self._read())

    def get_history(self, agent_file: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """Return the newest `limit` entries of the history, of one agent or of all, oldest first.

        An entry is an event: `timestamp`, `agent`, `action` (`task_completed`, `task_failed`, `breaker_override`, ...), and what
        it has to say, such as `duration_seconds`, `tokens_used`, `error` (docs/document.md). Entries that the document no longer holds
        come from the journal. Raises InvalidValueError.
        """
        self._recorder.flush()
        count = event.checked_count(limit, "a limit")
        return list(islice(self._store.history(agent_file), count))[::-1]

    def generate_report(self, output_file: "str | os.PathLike[str] | None" = None) -> str:
        """Return a report in Markdown, and write it to `output_file` if there is one; `-` is standard output.

        A link is followed, and a pipe or a device written into. Raises StorageError where that is not possible.
        """
        document, now = self._read(), time.time()
        text = markdown.report(document, now, self._attention(document, now))
        if output_file == "-":
            _print(text)
        elif output_file is not None:
            Files().export(os.fspath(output_file), text.encode())
        return text

    def check_agent_health(self, agent_file: str) -> bool:
        """Tell whether a task of the agent would be let through now. Nothing is changed by asking.

        But two things are recorded first if no process has recorded them yet: a clock that has jumped back, a probe whose process is gone.
        """
        if is_disabled():
            return True
        document, now = self._read(), time.time()
        agent = lookup.key_of(document, agent_file) or agent_file
        if permission.is_overtaken(document, agent, now, is_seen_gone):
            self._store.settle()
        return permission.answer(document, agent, now, is_seen_gone).is_admitted

    def try_acquire(self, agent_file: str, task_id: str | None = None) -> "Permit | Rejection":
        """Ask the agent's breaker whether a task may run, and take the permit for it: true, unlike a Rejection.

        A closed breaker lets every task through; a half-open one lets exactly one task through over all processes. A
        refusal is recorded and counted. The permit of a probe is over if its task has not begun within 15 minutes.
        Where the home can't be read or written every task is let through. Raises InvalidValueError, AmbiguousAgentError.
        """
        from otel_tracker.tracking.permit import Permit

        agent, task = event.checked_agent(agent_file), event.checked_text("a task id", task_id)
        answer = self.gate.ask(agent, task)
        return answer if isinstance(answer, Rejection) else Permit(self, answer)

    def select_agent(self, agent_file: str, fallbacks: "Sequence[str] | None" = None) -> "Selection":
        """Return the first agent that would be let through: this one, or one that may stand in for it.

        Those that may are in `fallbacks`, else in the agent's own `config.fallbacks`, else in the document's `fallback_chain`.
        Raises NoAgentAvailableError, which says which agents are refused until when.
        """
        return self.gate.select(event.checked_agent(agent_file), event.checked_agents(fallbacks))

    def run(
        self,
        agent_file: str,
        func: "Callable[..., Any]",
        /,
        *args: Any,
        model: str | None = "sonnet",
        timeout: float | None = None,
        retries: int | None = None,
        fallbacks: "Sequence[str] | None" = None,
        **kwargs: Any,
    ) -> Any:
        """Run `func(*args, **kwargs)` as a task of the agent, and return its result.

        The agent's breaker is asked first. Each attempt may take `timeout` seconds; a failed one is repeated up to `retries`
        times, after a growing, random pause or what the error's `Retry-After` says, as long as the breaker isn't open;
        when all have failed, or the agent is refused, the next of `fallbacks` runs the function as a task of its own.
        An argument that is None is taken from the settings: `timeout_seconds`, `retry_attempts`, and which agents may stand in for the agent
        (`select_agent`); a `timeout` of 0 is none. All attempts of an agent are one task. The function finds it with
        `current_task()`.

        With a timeout the function runs in a thread. One that overruns can't be stopped: the task fails at the deadline
        with AgentTimeoutError and neither it nor a fallback is tried, for the thread goes on until the function returns;
        it does not keep the process from ending.

        Raises the error of the last attempt; AgentBlacklistedError or NoAgentAvailableError if no agent was let through;
        InvalidValueError before anything starts.
        """
        from otel_tracker.tracking.runner import Plan, run

        return run(Plan(self, agent_file, model, timeout, retries, fallbacks), partial(func, *args, **kwargs))

    async def arun(
        self,
        agent_file: str,
        func: "Callable[..., Awaitable[Any]]",
        /,
        *args: Any,
        model: str | None = "sonnet",
        timeout: float | None = None,  # noqa: ASYNC109 - as `run` has it; each attempt has its own
        retries: int | None = None,
        fallbacks: "Sequence[str] | None" = None,
        **kwargs: Any,
    ) -> Any:
        """Run and await `func(*args, **kwargs)` as a task of the agent, like `run`, and return its result.

        At the deadline the coroutine is cancelled, and awaited until it has ended.
        """
        from otel_tracker.tracking.runner import Plan, arun

        return await arun(Plan(self, agent_file, model, timeout, retries, fallbacks), partial(func, *args, **kwargs))

    def reset_agent_failures(self, agent_file: str) -> None:
        """Close the agent's breaker and forget its failures, after a backup if possible; raises UnknownAgentError."""
        if is_disabled():
            return
        _, agent = self._looked_up(agent_file)
        orders.reset(self._store, agent)

    def override_breaker(
        self, agent_file: str, kind: str | None, seconds: float | None = None, reason: str | None = None
    ) -> None:
        """Put an order above the agent's breaker, after a backup if possible: `forced_open`, `disabled`, or None to lift it.

        It stands for so many `seconds`, or with None until it is lifted, whatever happens to the breaker below it. `reason` is shown to those
        who are refused. Raises UnknownAgentError, InvalidValueError, StorageError.
        """
        if kind not in (names.FORCED_OPEN, names.DISABLED, None):
            raise InvalidValueError("an override", kind, f"{names.FORCED_OPEN}, {names.DISABLED} or None")
        is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
        if seconds is not None and not (is_number and 0 < seconds < 1e10):
            raise InvalidValueError("a time", seconds, "seconds above 0 and below 10,000,000,000, or None")
        if is_disabled():
            return
        _, agent = self._looked_up(agent_file)
        until = None if seconds is None else format_timestamp(time.time() + seconds)
        override = None if kind is None else {"kind": kind, "until": until, "reason": event.error_text(reason)}
        orders.override(self._store, agent, override)

    def save(self, backup: bool = True) -> None:
        """Write the document anew, without the history that is out of date, after a backup if wanted.

        No task needs it: what is recorded is on the disk. Raises StorageError, DocumentError.
        """
        if is_disabled():
            return
        self._recorder.flush()
        if backup:
            self._store.back_up()
        self._store.rewrite()

    def _repr_html_(self) -> str:
        """Return what a notebook shows for a tracker: tables of what needs attention, and of the agents."""
        from otel_tracker.reporting.page.notebook import notebook

        document, now = self._read(), time.time()
        return notebook(document, self._attention(document, now), now)

    def _attention(self, document: Document, now: float) -> "list[Attention]":
        parts = parts_in(recent_window(now), partial(self._store.run_events, document), document.renamed)
        running = summary.running_tasks(document, now, is_seen_gone)
        return attention(document, now, self._store.home, recent=recent(parts, now), running=running)

    def _read(self) -> Document:
        self._recorder.flush()
        return self._store.read()

    def _looked_up(self, agent: str) -> tuple[Document, str]:
        """Return the present state and the key of the agent that a text means; raises UnknownAgentError."""
        document = self._read()
        return document, lookup.known_key(document, agent, self._store.home)

    def _end(
        self,
        agent_file: str,
        start_timestamp: str,
        outcome: str,
        model: str | None,
        task_id: str | None,
        **fields: Any,
    ) -> float:
        agent, started_at = event.checked_agent(agent_file), event.checked_timestamp("a start", start_timestamp)
        task_id, model = event.checked_text("a task id", task_id), event.checked_model(model)
        ended_at = time.time()
        start, clock = starts.take(self._store.home.document, agent, start_timestamp)
        if start is not None:
            duration = clock - start.clock
            model, task_id = model or start.model, task_id or start.task_id
        else:
            duration = ended_at - started_at
        fields["clock_skew"] = True if duration < 0 else None
        ended = event.task_ended(
            agent,
            outcome,
            ended_at,
            run_id=start.run_id if start else None,
            started=start_timestamp,
            duration_seconds=max(0.0, duration),
            model=model,
            task_id=task_id,
            **fields,
        )
        try:
            receipt = self._submit(ended, started_at, ended_at)
        except BaseException:  # an interrupt: the task has ended all the same
            self._recorder.submit(ended, may_repeat=True)
            raise
        receipt.wait()
        return max(0.0, duration)

    def _submit(self, ended: Event, started_at: float, ended_at: float) -> Receipt:
        """Hand the end of a task over, with a span where one can be made."""
        try:
            pipeline = self.pipeline
        except Exception as error:  # no file can be opened, say
            if is_interrupt(error):
                raise
            if not self._has_complained:
                self._has_complained = True
                warn("tasks are recorded without their spans: %r", error)
            return self._recorder.submit(ended)
        return pipeline.record_span(ended, started_at, ended_at)


def _print(text: str) -> None:
    """Write to standard output, if there is one, with `?` for letters that its encoding lacks."""
    if sys.stdout is not None:
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
