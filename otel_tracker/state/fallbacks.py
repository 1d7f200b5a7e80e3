"""Which agents may stand in for which: the caller's list, else the agent's own, else the document's `fallback_chain`. Pure.

Real v7.0 documents have a `fallback_chain`: `L2_to_L1` from an agent's stem to another's, `L1_fallbacks` from a stem to
`{"fallbacks": [stems]}`, and `ultimate_fallback`, an agent's key.
"""

from otel_tracker import names
from otel_tracker.state import lookup
from otel_tracker.state.settings import KEYS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from otel_tracker.state.document import Document


def chain_of(document: "Document", agent: str, fallbacks: "Sequence[str] | None" = None) -> list[str]:
    """Return an agent and those that may stand in for it, in the order to try them, each once."""
    if fallbacks is not None:
        return list(dict.fromkeys([agent, *fallbacks]))
    own = _own(document, agent)
    if own is not None:
        return list(dict.fromkeys([agent, *own]))
    chain, waiting = [agent], _after(document, agent)
    while waiting:
        following = waiting.pop(0)
        if following not in chain:
            chain.append(following)
            waiting += _after(document, following)
    ultimate = _object(document.head.get("fallback_chain")).get("ultimate_fallback")
    return list(dict.fromkeys([*chain, _key_of(document, ultimate)])) if isinstance(ultimate, str) else chain


def _after(document: "Document", agent: str) -> list[str]:
    """Return the agents that come next after one: its own fallbacks, else those of the `fallback_chain`."""
    own = _own(document, agent)
    if own is not None:
        return own
    chain, stem = _object(document.head.get("fallback_chain")), names.agent_stem(agent)
    above = _object(chain.get("L2_to_L1")).get(stem)
    beside = _object(_object(chain.get("L1_fallbacks")).get(stem)).get("fallbacks")
    stems = [above, *(beside if isinstance(beside, list) else [])]
    return [_key_of(document, following) for following in stems if isinstance(following, str)]


def _own(document: "Document", agent: str) -> "list[str] | None":
    """Return the agent's own list, which may be empty: no agent stands in for it; None without a valid one."""
    config = document.agents.get(agent, {}).get("config") or {}
    is_valid = "fallbacks" in config and KEYS["fallbacks"](config["fallbacks"]) is None
    return [_key_of(document, name) for name in config["fallbacks"]] if is_valid else None


def _key_of(document: "Document", text: str) -> str:
    """Return the key of the first agent that a text means, the text itself if there is none."""
    return next(iter(lookup.keys_of(document, text)), text)


def _object(value: "Any") -> "dict[str, Any]":
    return value if isinstance(value, dict) else {}
