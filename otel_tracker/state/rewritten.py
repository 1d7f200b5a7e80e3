"""What is kept of a document that another program has rewritten without the number of its last event. Pure.

Its counters may lack tasks that were recorded while the program had it open, and it isn't known which. So the counters of
this package hold; settings, and keys that this package doesn't know, are taken over.
"""

from otel_tracker.state.document import Document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.state.shapes import Agent


def with_changes(ours: Document, theirs: Document) -> Document:
    """Return `ours` with the settings, the unknown keys and the unknown agents of `theirs`.

    A setting, or another key, that is missing in `theirs` stays: the program may not know it.
    """
    head = {**theirs.head, **ours.head, "config": {**ours.config, **theirs.config}}
    head["agents"] = {key: _agent(agent, theirs.agents.get(key, {})) for key, agent in ours.agents.items()}
    head["agents"] |= {key: agent for key, agent in theirs.agents.items() if key not in ours.agents}
    head["main_conversation"] = _agent(head["main_conversation"], theirs.head["main_conversation"])
    head["metrics"] = {**head["metrics"], "total_agents": len(head["agents"])}
    return Document({key: head[key] for key in (*ours.head, *theirs.head)}, ours.history)


def _agent(ours: "Agent", theirs: "Agent") -> "Agent":
    return {**ours, **{key: value for key, value in theirs.items() if key not in ours or key == "config"}}
