"""Whether a task of an agent would be let through now, by its breaker in a document. Pure; `now` is passed in."""

from otel_tracker import names
from otel_tracker.state import breaker
from otel_tracker.state.circuit import Circuit, ProbePermit, circuit_of
from otel_tracker.state.document import Document
from otel_tracker.state.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tracker.state.shapes import Row


def answer(document: Document, agent: str, now: float, is_seen_gone: "Callable[[Row | None], bool]") -> breaker.Answer:
    """Return the answer of the breaker of `agent` now; an unknown agent is admitted.

    `is_seen_gone(owner)` tells whether a process can be seen to have ended.
    """
    if agent not in document.agents:
        return breaker.Answer(True)
    return breaker.ask(_overtaken(document, agent, now, is_seen_gone), now, settings_of_agent(document, agent))


def is_overtaken(document: Document, agent: str, now: float, is_seen_gone: "Callable[[Row | None], bool]") -> bool:
    """Tell whether an agent's breaker has changed in a way that the next event of the home will record.

    Its cooldown was set by a clock that has jumped back, or the holder of its permit has ended, or hangs.
    """
    if agent not in document.agents:
        return False
    circuit, settings = circuit_of(document.agents[agent]), settings_of_agent(document, agent)
    is_ended = circuit.permit is not None and _overtaken(document, agent, now, is_seen_gone).permit is None
    return is_ended or breaker.cooldown_after_clock_jump(circuit, now, settings) is not None


def ended_permit(
    document: Document, agent: str, now: float, is_seen_gone: "Callable[[Row | None], bool]"
) -> "tuple[str, str] | None":
    """Return the run of an agent's permit and the reason why the permit is over; None while it isn't.

    A begun run whose process has ended is lost, which ends its permit, too: that is not reported here.
    """
    permit, settings = circuit_of(document.agents[agent]).permit, settings_of_agent(document, agent)
    if permit is None:
        return None
    if permit.run_id in document.head["in_flight"]:
        is_over = breaker.is_overdue(permit, now, settings) and not _is_left(document, permit, is_seen_gone)
        return (permit.run_id, names.PROBE_OVERDUE) if is_over else None
    is_left = is_seen_gone(permit.owner)
    return (permit.run_id, names.PERMIT_NOT_USED) if is_left or breaker.is_lapsed(permit, now) else None


def _is_left(document: Document, permit: ProbePermit, is_seen_gone: "Callable[[Row | None], bool]") -> bool:
    """Tell whether the process that runs a probe can be seen to have ended."""
    owner = document.head["in_flight"].get(permit.run_id, {}).get("owner")
    return is_seen_gone(owner)


def _overtaken(document: Document, agent: str, now: float, is_seen_gone: "Callable[[Row | None], bool]") -> Circuit:
    """Return the breaker as the next event will leave it, if the holder of its permit has ended or hangs."""
    circuit = circuit_of(document.agents[agent])
    if circuit.permit is None:
        return circuit
    ended = ended_permit(document, agent, now, is_seen_gone)
    if ended is not None:
        return breaker.after_return(circuit, ended[0])
    if not _is_left(document, circuit.permit, is_seen_gone):
        return circuit
    settings = settings_of_agent(document, agent)
    task = document.head["in_flight"][circuit.permit.run_id]
    is_counted = settings.count_lost and not task.get("loss_error")
    lost = breaker.TaskEnd(names.LOST, now, is_counted=is_counted, run_id=circuit.permit.run_id)
    return breaker.after_task(circuit, lost, settings)


def settings_of_agent(document: Document, agent: str) -> Settings:
    """Return the settings of an agent: its own ones over the document's."""
    return Settings.of_agent(document.config, document.agents.get(agent, {}).get("config"))
