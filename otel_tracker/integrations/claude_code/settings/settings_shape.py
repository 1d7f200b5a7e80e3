"""The shape that Claude Code expects of hooks in a settings file: it drops the whole file for one wrong hook. Pure.

Source: Claude Code's message when a session starts ("Files with errors are skipped entirely"), up to version 2.1.233.
The versions that call our hooks ignore events with names that they don't know.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

_NEEDED = {"command": ("command",), "prompt": ("prompt",), "agent": ("prompt",), "http": ("url",)}  # by an entry's type


class Fault(NamedTuple):
    """A value that Claude Code refuses: its `json_path` (`$.hooks.Stop[0].matcher`), and the `reason`."""

    json_path: str
    reason: str


def faults(settings: dict[str, Any], is_ignored: Callable[[object], bool] | None = None) -> Iterator[Fault]:
    """Yield the values for which Claude Code refuses the hooks in settings; entries for which `is_ignored` are left out."""
    events = settings.get("hooks", {})
    yield from _expect(dict, events, "$.hooks")
    for event, groups in _items(events):
        json_path = f"$.hooks.{event}"
        yield from _expect(list, groups, json_path)
        for number, group in enumerate(groups if isinstance(groups, list) else ()):
            yield from _faults_of_group(group, f"{json_path}[{number}]", is_ignored)


def _faults_of_group(group: Any, json_path: str, is_ignored: Callable[[object], bool] | None) -> Iterator[Fault]:
    yield from _expect(dict, group, json_path)
    if not isinstance(group, dict):
        return
    if "matcher" in group:
        yield from _expect(str, group["matcher"], f"{json_path}.matcher")
    entries = group.get("hooks")
    if "hooks" not in group:
        yield Fault(json_path, "expected an object with a list `hooks`")
        return
    yield from _expect(list, entries, f"{json_path}.hooks")
    for number, entry in enumerate(entries if isinstance(entries, list) else ()):
        if is_ignored is None or not is_ignored(entry):
            yield from _faults_of_entry(entry, f"{json_path}.hooks[{number}]")


def _faults_of_entry(entry: Any, json_path: str) -> Iterator[Fault]:
    yield from _expect(dict, entry, json_path)
    if not isinstance(entry, dict):
        return
    for key in ("type", *_NEEDED.get(str(entry.get("type")), ())):
        if key in entry:
            yield from _expect(str, entry[key], f"{json_path}.{key}")
        else:
            yield Fault(json_path, f"expected an object with a text `{key}`")
    timeout = entry.get("timeout", 1)
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or timeout <= 0:
        yield Fault(f"{json_path}.timeout", f"expected a number of seconds above 0, got {_shown(timeout)}")


def _expect(expected: type, value: Any, json_path: str) -> Iterator[Fault]:
    if not isinstance(value, expected):
        yield Fault(json_path, f"expected {_TYPES[expected]}, got {_shown(value)}")


def _items(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


_TYPES = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}


def _shown(value: Any) -> str:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return str(value) if is_number else _TYPES[type(value)]
