"""The shape of the v7.0 document: what a new one holds, and how older ones are completed.

Source of the format: the Metrics Tracker System v7.0 specification, and the keys of our own beside it that
docs/document.md lists. Keys that are not named here pass through untouched.
"""

import json

from otel_tracker import names
from otel_tracker.runtime.limits import DURATION_BOUNDS
from otel_tracker.state.checks import version_of
from otel_tracker.state.settings import default_config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from otel_tracker.state.shapes import Agent, Head

VERSION = "7.0"


def new_head() -> "Head":
    """Return a new document without its `history`."""
    head = {
        "version": VERSION,
        "updated": None,
        "sequence": 0,
        "config": default_config(),
        "agents": {},
        "metrics": _new_system_metrics(),
        "main_conversation": new_main_conversation(),
        "in_flight": {},
    }
    return {**head, "config_digest": settings_digest(head)}


def settings_of(head: "Head") -> "tuple[dict[str, Any], dict[str, Any]]":
    """Return the parts of a document that people may edit: its `config`, and those of agents that have one."""
    return head["config"], {key: agent["config"] for key, agent in head["agents"].items() if agent.get("config")}


def settings_digest(head: "Head") -> str:
    """Return a digest of the document's settings; if it differs from `config_digest`, a person has edited them."""
    from zlib import crc32

    return f"{crc32(json.dumps(settings_of(head), sort_keys=True).encode()):08x}"


def new_agent() -> "Agent":
    """Return the entry of an agent that has done nothing yet."""
    return complete_agent({})


def new_token_entry() -> "dict[str, Any]":
    """Return the token counts of a model that has not been used yet."""
    return {"total": 0, "last": None, "count": 0, "measured": 0, **dict.fromkeys(names.TOKEN_TYPES, 0)}


def new_main_conversation() -> "dict[str, Any]":
    """Return what is counted of main conversations before the first one."""
    return {"since": None, "models": {}, "usage_incomplete": 0}


def new_main_entry() -> "dict[str, int]":
    """Return the token counts of a model that no main conversation has used yet."""
    return {"total": 0, **dict.fromkeys(names.TOKEN_TYPES, 0)}


def has_changed_settings(head: "Head") -> bool:
    """Tell whether a person has edited the settings of a document since an event was last folded into it."""
    return bool(head["config_digest"] != settings_digest(head))


def complete_head(head: "Head") -> "Head":
    """Return a checked `head` with everything that this package relies on; older versions lack some of it.

    The keys that the head has keep their order and their values.
    """
    completed = {"version": head.get("version", VERSION), "updated": head.get("updated")}
    completed["sequence"] = head.get("sequence", 0)
    completed.update(head)
    if version_of(head.get("version")) < version_of(VERSION):
        completed["version"] = VERSION
    completed["config"] = {**default_config(), **head.get("config", {})}
    completed["agents"] = {key: complete_agent(agent) for key, agent in head.get("agents", {}).items()}
    completed["metrics"] = {**_new_system_metrics(), **head.get("metrics", {})}
    main = completed["main_conversation"] = {**new_main_conversation(), **head.get("main_conversation", {})}
    main["models"] = {model: new_main_entry() | use for model, use in main["models"].items()}
    completed.setdefault("in_flight", {})
    if "config_digest" not in completed:
        completed["config_digest"] = settings_digest(completed)
    return completed


def complete_agent(agent: "Agent") -> "Agent":
    """Return `agent` with everything that this package relies on."""
    completed = {"status": "healthy", "failures": 0, "last_failure": None, "blacklisted_until": None, **agent}
    completed["metrics"] = {
        "tasks_total": 0,
        "tasks_successful": 0,
        "tasks_failed": 0,
        "tasks_cancelled": 0,
        "avg_duration_seconds": 0.0,
        "total_duration_seconds": 0.0,
        "last_task_timestamp": None,
        "first_task_timestamp": None,
        **agent.get("metrics", {}),
    }
    usage = agent.get("token_usage", {})
    reported = {model: usage.get(model, {}) for model in names.REPORTED_MODELS}
    completed["token_usage"] = {model: _complete_tokens(entry) for model, entry in {**reported, **usage}.items()}
    completed["models"] = {model: _complete_tokens(use) for model, use in agent.get("models", {}).items()}
    completed["circuit"] = _new_circuit() | agent.get("circuit", {})
    completed["durations"] = {"buckets": [0] * (len(DURATION_BOUNDS) + 1), "sum": 0.0} | agent.get("durations", {})
    completed["tallies"] = dict.fromkeys(names.TALLIES, 0) | agent.get("tallies", {})
    return completed


def _new_circuit() -> "dict[str, Any]":
    return {
        "state": "closed",
        "generation": 0,
        "opened": None,
        "reopenings": 0,
        "permit": None,
        "override": None,
    }


def _complete_tokens(entry: "dict[str, Any]") -> "dict[str, Any]":
    completed = new_token_entry() | entry
    if "measured" not in entry and completed["count"]:
        completed["measured"] = None  # a file of v7.0 lacks it
    if "untyped" not in entry:  # a file of v7.0 has only totals
        typed = sum(completed[token_type] for token_type in names.TOKEN_TYPES)
        completed["untyped"] = max(0, completed["total"] - typed)
    return completed


def _new_system_metrics() -> "dict[str, Any]":
    return {
        "total_agents": 0,
        "total_requests": 0,
        "successful": 0,
        "failed": 0,
        "cancelled": 0,
        "fallback_used": 0,
        "circuit_breaks": 0,
    }
