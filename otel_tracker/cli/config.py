"""`otel-tracker config`: the settings of the document, and those of an agent that come before them."""

import json
import time

from otel_tracker import names
from otel_tracker.cli.stores import store_of
from otel_tracker.cli.terminal import plain, print_json, print_table
from otel_tracker.errors import InvalidValueError, command
from otel_tracker.runtime.log import notice
from otel_tracker.state import lookup, permission
from otel_tracker.state.event import happened
from otel_tracker.state.schema import settings_of
from otel_tracker.state.settings import AGENT_KEYS, DOCUMENT_KEYS, KEYS, Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

    from otel_tracker.state.document import Document
    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.port import Port

_WORDS = {"get": (0, 1), "set": (2, 2), "unset": (1, 1)}


def config(options: "Namespace") -> int:
    """Print the settings, or one of them; or change one."""
    words = list(options.words)
    if len(words) > 1 and words[0] not in _WORDS:
        raise InvalidValueError("an action of config", words[0], "get, set or unset")
    action = words.pop(0) if words[:1] and words[0] in _WORDS else "get"
    least, most = _WORDS[action]
    if not least <= len(words) <= most:
        expected = "a key and a value" if action == "set" else "one key"
        raise InvalidValueError(f"arguments of config {action}", " ".join(words), expected)
    if words:
        _check_key(words[0], options.agent)
    store = store_of(options)
    agent = None if options.agent is None else lookup.known_key(store.read(), options.agent, store.home)
    if action == "set":
        value = _parsed(document := store.read(), *words)
        _change(store, agent, words[0], value)
        if words[0] == "fallbacks":
            _warn_of_unknown(document, value, store)
    elif action == "unset":
        _change(store, agent, words[0], None)
    _print(store.read(), options, agent, words[0] if words else None)
    return 0


def _check_key(key: str, agent: "str | None") -> None:
    keys = DOCUMENT_KEYS if agent is None else AGENT_KEYS
    if key in KEYS and key not in keys:
        scope = "a setting of the whole document" if agent is None else "a setting of one agent"
        raise InvalidValueError(scope, key, "one of " + ", ".join(keys) + (" (or --agent)" if agent is None else ""))
    if key not in keys:
        raise InvalidValueError("a setting", key, "one of " + ", ".join(keys))


def _parsed(document: "Document", key: str, text: str) -> "Any":
    """Return the value that a text names: JSON, or a list of texts separated by commas; raises InvalidValueError."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    is_list = isinstance(getattr(Settings, key), tuple)
    if is_list and not isinstance(value, list):
        value = [part.strip() for part in text.split(",")]
    expected = KEYS[key](value)
    if expected is not None:
        raise InvalidValueError(f"the setting {key}", value, expected)
    return [lookup.key_of(document, name) or name for name in value] if key == "fallbacks" else value


def _warn_of_unknown(document: "Document", fallbacks: "list[str]", store: "Port") -> None:
    """Log the fallbacks that the document doesn't know: a misspelt one, or an agent that has not run yet."""
    for name in (name for name in fallbacks if name not in document.agents):
        listed = command("status", home=store.home.option)
        notice("the fallback %s is not a known agent; list those with: %s", name, listed)


def _change(store: "Port", agent: "str | None", key: str, value: "Any") -> None:
    """Set a setting, or unset it with None, after a backup; other changes made meanwhile stay."""

    def find(document: "Document") -> "list[Event]":
        own, of_agents = settings_of(document.head)
        agents = dict(of_agents)
        if agent is not None:
            agents[agent] = _with(agents.get(agent, {}), key, value)
            agents = {name: overrides for name, overrides in agents.items() if overrides}
        else:
            own = _with(own, key, value)
        settings: dict[str, Any] = {"config": own, "agents": agents, "since": document.sequence}
        return [happened(names.SETTINGS_CHANGED, time.time(), **settings)]

    store.back_up()
    store.record_found(find, is_patient=True)


def _with(settings: "dict[str, Any]", key: str, value: "Any") -> "dict[str, Any]":
    changed = {name: setting for name, setting in settings.items() if name != key or value is not None}
    if value is not None:
        changed[key] = value
    return changed


def _print(document: "Document", options: "Namespace", agent: "str | None", key: "str | None") -> None:
    settings = Settings.of(document.config) if agent is None else permission.settings_of_agent(document, agent)
    own = {} if agent is None else document.agents[agent].get("config") or {}
    keys = [key] if key else list(DOCUMENT_KEYS if agent is None else AGENT_KEYS)
    values = {name: _value(settings, name) for name in keys}
    if options.format == "json":
        print_json(values[key] if key else values)
    elif key:
        print(plain(_shown(values[key])))
    else:
        shown = [
            (name, _shown(values[name]), _source(name, document, own), _shown(_value(Settings, name))) for name in keys
        ]
        print_table(("Setting", "Value", "From", "Default"), shown, "llll")


def _shown(value: "Any") -> str:
    return json.dumps(value, ensure_ascii=False)


def _value(settings: "Any", key: str) -> "Any":
    value = getattr(settings, key)
    return list(value) if isinstance(value, tuple) else value


def _source(key: str, document: "Document", own: "dict[str, Any]") -> str:
    """Return the origin of a value; a wrong value does not count."""
    if key in own and KEYS[key](own[key]) is None:
        return "agent"
    return "document" if key in document.config and KEYS[key](document.config[key]) is None else "default"
