"""`otel-tracker health`: the question that scripts ask before each task, so it loads as little as possible."""

import time

from otel_tracker import names
from otel_tracker.cli.terminal import plain, print_json, shown_state
from otel_tracker.errors import InvalidValueError
from otel_tracker.reporting import summary, wording
from otel_tracker.runtime.environment import OTEL_TRACKER_DISABLED, chosen_home, is_disabled
from otel_tracker.state import breaker, lookup, permission
from otel_tracker.storage.home import Home
from otel_tracker.storage.quick_read import is_seen_gone, read_quickly

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from otel_tracker.state.document import Document

_FORMATS = ("table", "json")


def health(options: "Namespace") -> int:
    """Print whether a task of an agent would be let through: status 0, else 1."""
    return answer_health(options.agent, options.home, options.format)


def answer_health(agent: str, home: "str | None" = None, form: str = "table") -> int:
    """Print whether a task of an agent would be let through: status 0, else 1."""
    if not agent.strip():
        raise InvalidValueError("an agent", agent, 'a text such as "core/coder.md"')
    chosen, now = Home(chosen_home(home)), time.time()
    document = read_quickly(chosen, agent, is_patient=True)
    if agent not in document.agents:
        document = read_quickly(chosen, is_patient=True)
        agent = lookup.key_of(document, agent) or agent
    if not is_disabled() and permission.is_overtaken(document, agent, now, is_seen_gone):
        from otel_tracker.storage.store import Store

        Store(chosen).settle()
    answer = breaker.Answer(True) if is_disabled() else permission.answer(document, agent, now, is_seen_gone)
    is_known = agent in document.agents
    row = summary.agent_state(document, agent, now) if is_known else {"state": names.CLOSED, "failures": 0}
    if form == "json":
        facts = {key: row.get(key) for key in ("state", "failures", "last_failure", "blacklisted_until", "override")}
        values = {
            "agent": agent,
            "is_admitted": answer.is_admitted,
            "reason": wording.reason_of(answer) or None,
            "is_known": is_known,
        }
        print_json({**values, **facts})
    else:
        switch = f" (let through all the same: {OTEL_TRACKER_DISABLED} is set)" if is_disabled() else ""
        print(f"{plain(agent)}: {shown_state(row) if is_known else plain(_unknown(document, agent))}{switch}")
    return 0 if answer.is_admitted else 1


def _unknown(document: "Document", agent: str) -> str:
    """Return the answer for an agent that no event has named."""
    similar = lookup.similar(
        document, agent, likeness=1
    )  # only equal names: scripts ask for agents that have not run yet
    return f"healthy (unknown agent{f'; did you mean {similar[0]}?' if similar else ''})"


def plain_call(arguments: "Sequence[str]") -> "dict[str, str] | None":
    """Return the arguments of a simple call of `health`; None where argparse has to parse them."""
    options = {"--home": "home", "--format": "form"}
    call: dict[str, str] = {}
    rest = iter(arguments)
    for argument in rest:
        name, value = (options[argument], next(rest, "")) if argument in options else ("agent", argument)
        if not value or value.startswith("-") or name in call:
            return None
        call[name] = value
    return call if "agent" in call and call.get("form", "table") in _FORMATS else None
