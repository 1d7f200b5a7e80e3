"""The doctor's findings about Claude Code: whether each hook is registered once, as the table has it, and what their log has."""

import os
import shutil
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from otel_tracker.errors import OtelTrackerError, command
from otel_tracker.integrations.claude_code import NAME
from otel_tracker.integrations.claude_code.hooks.hook import LOG_NAME
from otel_tracker.integrations.claude_code.settings import registration, settings_file, settings_places, settings_shape
from otel_tracker.integrations.claude_code.settings.settings_places import SettingsSource
from otel_tracker.reporting.finding import NOTE, OK, WRONG, Finding
from otel_tracker.reporting.wording import counted
from otel_tracker.runtime.environment import DEFAULT_HOME
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.storage import claim
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home

_TOPIC = "claude code"
_LOG_BYTES = 65_536
_FEW = 3  # so many odd payloads may be chance
_RECENT_DAYS = 7


class _Line(NamedTuple):
    """A line of the hooks' log."""

    moment: float
    stamp: str
    event: str
    level: str
    text: str


def findings(home: Home) -> Iterator[Finding]:
    """Yield findings about the settings that Claude Code reads in this folder, and about the log of the hooks in a home."""
    sources, broken = settings_places.existing()
    for error in broken:
        yield Finding(_TOPIC, WRONG, str(error))
    plugins, mine = settings_places.plugins(sources), [source for source in sources if source.ours]
    if mine or plugins:
        yield from _registered(sources, mine, plugins)
        yield from _elsewhere(mine, plugins, home)
    elif settings_places.is_in_use(sources):
        yield _missing(sources)
    for source in sources:
        if source not in mine:
            yield from _dropped(source)
    yield from _logged(home)


def _missing(sources: list[SettingsSource]) -> Finding:
    akin = _akin(sources)
    if akin is not None:
        text = f"{akin} calls the hook in a way of its own, which no test has checked"
        return Finding(_TOPIC, NOTE, text, f"take it out, then: {registration.INSTALL}")
    text = "no hooks are registered: its sub-agents are neither recorded nor refused"
    return Finding(_TOPIC, NOTE, text, registration.INSTALL)


def _akin(sources: list[SettingsSource]) -> str | None:
    """Return the path of settings that call the hook in a way of their own, None if no settings do."""
    entries = [(source.path, entry) for source in sources for *_, entry in settings_file.entries(source.values)]
    return next((path for path, entry in entries if registration.is_akin(entry)), None)


def _registered(sources: list[SettingsSource], mine: list[SettingsSource], plugins: list[str]) -> Iterator[Finding]:
    wrong = [*_several(sources, mine, plugins), *_switched_off(sources), *_not_allowed(sources, mine, plugins)]
    for source in mine:
        wrong += [*_dropped(source), *_unlike_the_table(source), *_in_the_background(source), *_without_program(source)]
    if plugins and shutil.which(registration.PROGRAM) is None:
        text = f"the plugin {plugins[0]} calls {registration.PROGRAM}, which is not in PATH"
        wrong.append(Finding(_TOPIC, WRONG, text, f"put it there, or in the plugin's place: {registration.INSTALL}"))
    yield from wrong
    if not wrong:
        where = mine[0].path if mine else f"the plugin {plugins[0]}"
        gate = "on" if not mine or mine[0].choice.is_gated else "off"
        yield Finding(_TOPIC, OK, f"hooks are registered once, in {where}; the gate is {gate}")


def _several(sources: list[SettingsSource], mine: list[SettingsSource], plugins: list[str]) -> Iterator[Finding]:
    names = [*(source.path for source in mine), *(f"the plugin {plugin}" for plugin in plugins)]
    if len(names) > 1:
        remedy = f"/plugin uninstall {plugins[-1]}" if plugins else mine[-1].uninstalling
        yield Finding(_TOPIC, WRONG, f"hooks are registered {len(names)} times: {', '.join(names)}", remedy)
    for source in mine:
        events = [event for event, *_ in source.ours]
        double = [event for event in dict.fromkeys(events) if events.count(event) > 1]
        if double:
            text = f"{source.path} has them more than once for {', '.join(double)}"
            yield Finding(_TOPIC, WRONG, text, source.installing)
    akin = _akin(sources)
    if akin is not None:
        text = f"{akin} calls the hook once more, in a way of its own"
        yield Finding(_TOPIC, WRONG, text, "take it out there")


def _switched_off(sources: list[SettingsSource]) -> Iterator[Finding]:
    setting = [source for source in sources if "disableAllHooks" in source.values]
    if setting and setting[-1].values["disableAllHooks"] is True:
        text = f"disableAllHooks is true in {setting[-1].path}: Claude Code calls none of them"
        yield Finding(_TOPIC, WRONG, text, "take it out there")


def _not_allowed(sources: list[SettingsSource], mine: list[SettingsSource], plugins: list[str]) -> Iterator[Finding]:
    only = [source for source in sources if source.is_managed and source.values.get("allowManagedHooksOnly") is True]
    if only and (plugins or not all(source.is_managed for source in mine)):
        text = f"allowManagedHooksOnly is true in {only[0].path}: Claude Code calls no hooks but those in there"
        yield Finding(_TOPIC, WRONG, text, "ask the administrator of this machine to register the hooks there")


def _unlike_the_table(source: SettingsSource) -> Iterator[Finding]:
    """Compare hooks with the table; a timeout may be longer than the table's."""
    registered = {event: (group, entry) for event, group, entry in source.ours}
    missing = [hook.event for hook in registration.HOOKS if hook.event not in registered]
    present = [hook for hook in registration.HOOKS if hook.event in registered]
    other = [hook.event for hook in present if not _is_as(hook, *registered[hook.event], is_shared=source.is_shared)]
    other += registered.keys() - {hook.event for hook in registration.HOOKS}
    choices = {registration.choice_of(entry) for *_, entry in source.ours}
    differences = [
        f"lacks {', '.join(missing)}" if missing else "",
        f"has {', '.join(other)} otherwise than this version registers it" if other else "",
        "has other flags for one event than for another" if len(choices) > 1 else "",
    ]
    if any(differences):
        text = f"{source.path} {' and '.join(part for part in differences if part)}"
        yield Finding(_TOPIC, WRONG, text, source.installing)


def _is_as(hook: registration.Hook, group: dict[str, Any], entry: dict[str, Any], *, is_shared: bool) -> bool:
    timeout = entry.get("timeout", hook.timeout)
    is_long_enough = isinstance(timeout, (int, float)) and timeout >= hook.timeout
    is_for_all_readers = not (is_shared and "args" in entry)  # Copilot CLI leaves `args` out
    return is_long_enough and is_for_all_readers and settings_file.has_matcher(group, hook.matcher)


def _dropped(source: SettingsSource) -> Iterator[Finding]:
    """Look for hooks, of this package or not, for which Claude Code drops the whole file."""
    for fault in settings_shape.faults(source.values):
        text = f"{source.path}: {fault.json_path}: {fault.reason}: Claude Code drops the whole file for it, with all of its hooks"
        yield Finding(_TOPIC, WRONG, text, "correct it by hand")


def _in_the_background(source: SettingsSource) -> Iterator[Finding]:
    events = [
        event for event, _, entry in source.ours if entry.get("async") is True or entry.get("asyncRewake") is True
    ]
    if events:
        text = f"{source.path} has {', '.join(events)} as async: such a hook can't refuse, and keeps no order"
        yield Finding(_TOPIC, WRONG, text, source.installing)


def _without_program(source: SettingsSource) -> Iterator[Finding]:
    for program in dict.fromkeys(registration.command_of(entry) for *_, entry in source.ours):
        if shutil.which(program) is None:
            where = "isn't there, or can't be executed" if os.path.dirname(program) else "isn't in PATH"
            text = f"{source.path} calls {program}, which {where}: no run is recorded or refused"
            yield Finding(_TOPIC, WRONG, text, source.installing)


def _elsewhere(mine: list[SettingsSource], plugins: list[str], home: Home) -> Iterator[Finding]:
    """Yield a note for each home in which the hooks record, other than the examined one."""
    chosen = [source.choice.home or DEFAULT_HOME for source in mine] + [DEFAULT_HOME for _ in plugins]
    for folder in dict.fromkeys(os.path.realpath(Home(folder).folder) for folder in chosen):
        if folder != os.path.realpath(home.folder):
            text = f"the hooks record in {folder}, which is not the home that is examined"
            yield Finding(_TOPIC, NOTE, text, command("doctor", home=Home(folder).option))


def _logged(home: Home) -> Iterator[Finding]:
    folder = home.of_integration(NAME)
    path = os.path.join(folder, LOG_NAME)
    try:
        claim.check_links(home, Files(), folder)
        lines = list(_lines(path))
    except OtelTrackerError as error:
        yield Finding(_TOPIC, WRONG, str(error))
        return
    since = time.time() - _RECENT_DAYS * 86_400
    drift = [line for line in lines if line.level == "drift:"]
    if drift:
        recent, last = [line for line in drift if line.moment >= since], drift[-1]
        text = (
            f"Claude Code sends payloads that this version doesn't know, {counted(len(recent), 'time', 'times')} in {_RECENT_DAYS} days, "
            f"last at {last.stamp} with {last.event}: {last.text}"
        )
        is_habit = len(recent) >= _FEW
        yield Finding(
            _TOPIC, WRONG if is_habit else NOTE, text, f"a newer otel-tracker; delete {path} when that is done"
        )
    errors = [line for line in lines if line.level == "error:" and line.moment >= since]
    if errors:
        last = errors[-1]
        text = f"hooks failed {counted(len(errors), 'time', 'times')} in {_RECENT_DAYS} days, last at {last.stamp} with {last.event}: {last.text}"
        yield Finding(_TOPIC, NOTE, text, f"see {path}")


def _lines(path: str) -> Iterator[_Line]:
    """Yield the lines at the end of the log that have a moment, an event, a level and a text."""
    signature = Files().signature(path)
    start = 0 if signature is None else max(0, signature[1] - _LOG_BYTES)
    _, content = Files().read(path, start) or (None, b"")
    lines = content.decode("utf-8", "replace").split("\n")
    for line in lines[1:] if start else lines:
        parts = line.split(" ", 3)
        try:
            yield _Line(parse_timestamp(parts[0]), *parts)
        except (TypeError, ValueError, OverflowError):  # no such line
            continue
