"""What counts of a document that another program has rewritten without saying which events it holds. Pure.

Its numbers may lack tasks that were recorded while the program had it open, and nothing tells which. So those of this
package hold; what people may change by hand, and what this package doesn't know, is taken over.
"""

from otel_tracker.state.document import Document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def with_changes(ours: Document, theirs: Document) -> Document:
    """Return `ours` with the settings, the unknown keys and the unknown agents of `theirs`.

    A setting, or another key, that is missing in `theirs` stays: the program may not know it.
    """
    head = {**theirs.head, **ours.head, "config": {**ours.config, **theirs.config}}
    head["agents"] = {key: _agent(agent, theirs.agents.get(key, {})) for key, agent in ours.agents.items()}
    head["agents"] |= {key: agent for key, agent in theirs.agents.items() if key not in ours.agents}
    head["metrics"] = {**head["metrics"], "total_agents": len(head["agents"])}
    return Document({key: head[key] for key in (*ours.head, *theirs.head)}, ours.history)


def _agent(ours: "dict[str, Any]", theirs: "dict[str, Any]") -> "dict[str, Any]":
    return {**ours, **{key: value for key, value in theirs.items() if key not in ours or key == "config"}}
