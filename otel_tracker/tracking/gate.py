"""The gate: a caller that wants to run a task asks the agent's breaker first, and is admitted or refused.

The answer of a closed breaker is read and moves nothing. A probe is granted under the document's lock, so that of all
processes that ask at the end of a cooldown exactly one gets the permit. Where the home can't be read or written the
gate is open: a broken tracker is no reason to stop the work.
"""

import sys
import time
import weakref
from typing import TYPE_CHECKING, NamedTuple

from otel_tracker import names
from otel_tracker.errors import AgentBlacklistedError, NoAgentAvailableError, OtelTrackerError
from otel_tracker.reporting import summary, wording
from otel_tracker.runtime import lifecycle
from otel_tracker.runtime.environment import is_disabled
from otel_tracker.runtime.ids import new_id
from otel_tracker.runtime.interrupts import is_interrupt
from otel_tracker.runtime.log import warn
from otel_tracker.runtime.owner import is_seen_gone, this_process, this_thread
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.state import breaker, event, lookup, permission
from otel_tracker.state.document import Document, new_document
from otel_tracker.state.fallbacks import chain_of
from otel_tracker.state.fold import transition
from otel_tracker.state.shapes import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, Literal

    Owner = Callable[[], "dict[str, Any] | None"]

    from otel_tracker.runtime.writer import Receipt
    from otel_tracker.state.settings import Settings
    from otel_tracker.storage.recorder import Recorder


class Admission(NamedTuple):
    """A task that is let through: of which agent, in whose place, and the run that the permit is for."""

    agent_file: str
    task_id: "str | None"
    run_id: str
    is_probe: bool
    """Whether the breaker is half-open, so that this task decides."""
    fallback_for: "str | None" = None
    claim: "Claim | None" = None
    """Gives the permit of a probe back when nothing holds it any more; a task that begins settles it."""


class Claim:
    """A permit whose task has not begun: given back by `release`, or as soon as nothing holds this object any more."""

    def __init__(self, gate: "Gate", admission: Admission) -> None:
        self._finalizer = weakref.finalize(self, _give_back, gate, admission, lifecycle.forks)

    @property
    def is_open(self) -> bool:
        """Whether the permit has neither been given back nor used."""
        return self._finalizer.alive

    def settle(self) -> None:
        """Keep the permit: its task has begun."""
        self._finalizer.detach()

    def release(self) -> None:
        """Give the permit back, unless its task has begun."""
        receipt = self._finalizer()
        if receipt is not None:
            receipt.wait()


def _give_back(gate: "Gate", admission: Admission, forks: int) -> "Receipt | None":
    return gate.give_back(admission) if lifecycle.forks == forks else None  # in the child of a fork it is the parent's


class Rejection:
    """Why a task may not run now, which MetricTracker.try_acquire returns. False, unlike a Permit."""

    def __init__(
        self,
        agent_file: str,
        until: "str | None",
        reason: str,
        fallback: "str | None",
        home: "str | None" = None,
        code: "str | None" = None,
    ) -> None:
        self.agent_file = agent_file
        """The agent's key."""
        self.home = home
        """The home in which the agent is refused, None for the default one."""
        self.until = until
        """The timestamp until which the agent is refused, None where that isn't known."""
        self.reason = reason
        """Why, in words."""
        self.code = code
        """Why, as a constant: `failures`, `probe_running` or `forced_open`."""
        self.fallback = fallback
        """The agent that would be let through instead, None if there is none."""

    def __repr__(self) -> str:
        return f"Rejection({self.agent_file!r}, {self.until!r}, {self.reason!r}, {self.fallback!r})"

    def __bool__(self) -> "Literal[False]":
        return False

    def error(self) -> AgentBlacklistedError:
        """Return the same facts as an error."""
        return AgentBlacklistedError(self.agent_file, self.until, self.reason, self.fallback, self.home, self.code)


class Selection(NamedTuple):
    """What MetricTracker.select_agent returns: the agent to call, and the one in whose place it is called, None if that is the same."""

    agent_file: str
    fallback_for: "str | None"


def _this_owner() -> "dict[str, Any]":
    return {**this_process(), **this_thread()}


class Gate:
    """Asks the breakers of the agents of one home."""

    def __init__(self, recorder: "Recorder", owner: "Owner | None" = None, **fields: "str | None") -> None:
        """`owner` returns the process that gets a permit, None if its end can't be seen; `fields` are added to each event.

        By default the owner is this process and its present thread.
        """
        self.recorder, self._owner, self._fields = recorder, owner or _this_owner, fields
        self._home = recorder.store.home.option

    def ask(self, agent: str, task_id: "str | None" = None, run_id: "str | None" = None) -> "Admission | Rejection":
        """Ask the breaker of an agent, which `agent` names by its key, its name or its stem, and take the permit for a task.

        A refusal is recorded and counted. A run that has the permit already is let through again. Where the process is
        disabled every task is let through. Raises AmbiguousAgentError.
        """
        if is_disabled():
            return Admission(agent, task_id, run_id or new_id(), is_probe=False)
        document = self._document()
        agent = lookup.key_of(document, agent) or agent
        admission = Admission(agent, task_id, run_id or new_id(), is_probe=False)
        answer = _answer(document, agent, admission.run_id)
        if answer.is_probe:
            try:
                document, answer = self._grant(admission)
                if answer.is_admitted:
                    return admission._replace(is_probe=answer.is_probe)
            except OtelTrackerError as error:
                warn("cannot ask the breaker of %s, so that it is taken for closed: %s", agent, error)
                return admission
            except BaseException:  # an interrupt, after which no task would use the permit
                self._submit_return(admission)
                raise
        elif answer.is_admitted:
            return admission
        rejection = self._rejection(document, agent, answer)
        self._submit(
            agent, names.TASK_REJECTED, reason=rejection.reason, task_id=task_id, refused_until=rejection.until
        ).wait()
        _add_event_of_refusal(rejection)
        return rejection

    def admissions(
        self, agent: str, fallbacks: "Sequence[str] | None", task_id: "str | None" = None, *, is_asked: bool = True
    ) -> "Iterator[Admission]":
        """Ask for an agent, and then for those that may stand in for it; yield an admission for each that is let through.

        Unless it `is_asked`, every breaker is taken for closed. Raises AgentBlacklistedError or, if there are several,
        NoAgentAvailableError at the end if none was let through; AmbiguousAgentError before any is asked.
        """
        agent, *_ = chain = _chain(self._document(), agent, fallbacks)
        refused = []
        for name in chain:
            answer = self.ask(name, task_id) if is_asked else Admission(name, task_id, new_id(), is_probe=False)
            if isinstance(answer, Rejection):
                refused.append(answer)
            else:
                yield answer._replace(fallback_for=None if name == agent else agent)
        if len(chain) == len(refused) == 1:
            raise refused[0].error()
        if len(refused) == len(chain):
            raise self._all_refused(agent, refused)

    def select(self, agent: str, fallbacks: "Sequence[str] | None" = None) -> Selection:
        """Return the first agent of the chain that would be let through now; raises NoAgentAvailableError."""
        if is_disabled():
            return Selection(agent, None)
        document = self._document()
        agent, *_ = chain = _chain(document, agent, fallbacks)
        chosen = _first_admitted(document, chain)
        if chosen is None:
            refused = [self._rejection(document, name, _answer(document, name)) for name in chain]
            raise self._all_refused(agent, refused)
        return Selection(chosen, None if chosen == agent else agent)

    def is_open(self, admission: Admission) -> bool:
        """Tell whether the breaker refuses further attempts of a task that it has let through."""
        if is_disabled():
            return False
        document = self._document()
        if admission.agent_file not in document.agents:
            return False
        row = summary.agent_state(document, admission.agent_file, time.time())
        is_probe = row["permit"] is not None and row["permit"]["run_id"] == admission.run_id
        return not is_probe and not _answer(document, admission.agent_file).is_admitted

    def transition(self, ended: Event) -> "str | None":
        """Return the state that the agent's breaker will get by the event of a task's end; None if it keeps its own.

        Where another process has moved the breaker since this one last looked, a success may be judged by the older state.
        """
        entry = self.recorder.store.last_known(ended["agent"])
        if ended["action"] != names.TASK_FAILED and (entry is None or entry["status"] == names.STATUSES[names.CLOSED]):
            return None
        return transition(self._document().head, ended)

    def give_back(self, admission: Admission) -> "Receipt | None":
        """Hand over that a probe whose task has not begun returns its permit: the next caller that asks gets it."""
        return self._submit_return(admission) if admission.is_probe else None

    def settings(self, agent: str) -> "Settings":
        """Return the settings that an agent has now."""
        return permission.settings_of_agent(self._document(), agent)

    def _document(self) -> Document:
        try:
            self.recorder.flush()
            return self.recorder.store.read(is_patient=False)
        except OtelTrackerError as error:
            self.recorder.store.warn_once(f"cannot ask any breaker, so that all are taken for closed: {error}")
            return new_document()

    def _grant(self, admission: Admission) -> "tuple[Document, breaker.Answer]":
        """Ask again while no other process can be granted anything, and take the permit if it is still to be had."""
        answers: list[tuple[Document, breaker.Answer]] = []
        owner = self._owner()  # not within `find`, which another thread calls

        def find(document: Document) -> list[Event]:
            answer = _answer(document, admission.agent_file, admission.run_id)
            answers.append((document, answer))
            if not answer.is_probe or _has_permit(document, admission.agent_file, admission.run_id):
                return []
            now = time.time()
            fields: dict[str, Any] = {
                **self._fields,
                "agent": admission.agent_file,
                "task_id": admission.task_id,
                "permit": admission.run_id,
                "expires": format_timestamp(now + breaker.LEASE_SECONDS),
                "owner": owner,
            }
            return [event.happened(names.PROBE_GRANTED, now, **fields)]

        self.recorder.store.record_found(find)
        return answers[-1]

    def _rejection(self, document: Document, agent: str, answer: breaker.Answer) -> Rejection:
        until = None if answer.until is None else format_timestamp(answer.until)
        fallback = _first_admitted(document, chain_of(document, agent)[1:])
        return Rejection(agent, until, wording.reason_of(answer), fallback, self._home, answer.reason)

    def _all_refused(self, agent: str, refused: list[Rejection]) -> NoAgentAvailableError:
        listed = tuple((rejection.agent_file, rejection.until, rejection.reason) for rejection in refused)
        return NoAgentAvailableError(agent, listed, self._home)

    def _submit_return(self, admission: Admission) -> "Receipt":
        return self._submit(
            admission.agent_file, names.PROBE_RETURNED, permit=admission.run_id, reason=names.PERMIT_GIVEN_BACK
        )

    def _submit(self, agent: str, action: str, **fields: "str | None") -> "Receipt":
        given = {key: value for key, value in {**self._fields, **fields}.items() if value is not None}
        happened = event.happened(action, time.time(), agent=agent, **given)
        return self.recorder.submit(happened, may_repeat="id" in self._fields)


def _add_event_of_refusal(rejection: Rejection) -> None:
    """Add an event to the caller's span, if the process has loaded OpenTelemetry and is in one."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return
    fields = {
        names.GEN_AI_AGENT: rejection.agent_file,
        names.SPAN_REFUSED_FOR: rejection.reason,
        names.SPAN_REFUSED_UNTIL: rejection.until,
        names.SPAN_FALLBACK: rejection.fallback,
    }
    attributes = {key: value for key, value in fields.items() if value is not None}
    try:
        trace.get_current_span().add_event(names.CIRCUIT_REFUSAL, attributes)
    except Exception as error:  # a span of the application has failed, not the gate
        if is_interrupt(error):
            raise


def _answer(document: Document, agent: str, run_id: "str | None" = None) -> breaker.Answer:
    if run_id is not None and _has_permit(document, agent, run_id):
        return breaker.Answer(True, is_probe=True)
    return permission.answer(document, agent, time.time(), is_seen_gone)


def _chain(document: Document, agent: str, fallbacks: "Sequence[str] | None") -> list[str]:
    """Return the keys of the agents that a caller means, in the order in which they are tried."""
    listed = None if fallbacks is None else [lookup.key_of(document, name) or name for name in fallbacks]
    return chain_of(document, lookup.key_of(document, agent) or agent, listed)


def _has_permit(document: Document, agent: str, run_id: str) -> bool:
    permit = document.agents[agent]["circuit"]["permit"] if agent in document.agents else None
    return permit is not None and permit["run_id"] == run_id


def _first_admitted(document: Document, agents: "Sequence[str]") -> "str | None":
    return next((name for name in agents if _answer(document, name).is_admitted), None)
