"""Puts our hooks into a settings file of Claude Code and takes them out, and changes nothing else in it.

A file is only replaced if it still holds what the change was made from; a copy of that is kept beside it.
"""

import copy
import os
import re
import stat
from collections.abc import Callable
from typing import Any, NamedTuple

from otel_tracker.errors import OtelTrackerError, StorageError
from otel_tracker.integrations.claude_code.settings import settings_shape, settings_text
from otel_tracker.integrations.claude_code.settings.registration import is_ours
from otel_tracker.integrations.claude_code.variables import user_folder
from otel_tracker.runtime.environment import absolute
from otel_tracker.storage.failures import attempting
from otel_tracker.storage.files import Files

_BACKUP = "before-otel-tracker"
_KEPT_COPIES = 3


class SettingsError(OtelTrackerError, ValueError):
    """A settings file can't be used: its `path`, the `json_path` in it (`$.hooks.Stop`), and the `reason`."""

    def __init__(self, path: str, json_path: str, reason: str) -> None:
        super().__init__(path, json_path, reason)
        self.path, self.json_path, self.reason = path, json_path, reason

    def message(self) -> str:
        """Return the sentence that a person reads."""
        where = f"{self.json_path}: " if self.json_path else ""
        return f"cannot use the settings {self.path}: {where}{self.reason}; correct it by hand; it was not changed"


class SettingsWriteError(OtelTrackerError, OSError):
    """A settings file can't be replaced: its `path`, the `reason`, and what to do about it."""

    def __init__(self, path: str, reason: str, remedy: str) -> None:
        super().__init__(path, reason, remedy)
        self.path, self.reason, self.remedy = path, reason, remedy

    def message(self) -> str:
        """Return the sentence that a person reads."""
        return f"cannot write to {self.path}: {self.reason}; {self.remedy}; nothing was changed"


class SettingsFile(NamedTuple):
    """A settings file as it was read: `content` is None if there is no file."""

    path: str
    content: bytes | None
    values: dict[str, Any]


class Change(NamedTuple):
    """A settings file, and the text that replaces it."""

    before: SettingsFile
    text: str

    @property
    def is_none(self) -> bool:
        """Whether the file has that text already."""
        return (self.before.content or b"") == self.text.encode()


def user_path() -> str:
    """Return the path of the user's settings file."""
    return os.path.join(user_folder(), "settings.json")


def project_path(name: str = "settings.json") -> str:
    """Return the path of a settings file of the project in the current folder; a relative one if that is gone."""
    return absolute(os.path.join(".claude", name))


def read(path: str) -> SettingsFile:
    """Return a settings file; raises SettingsError if it can't be understood whole."""
    try:
        present = Files().read(path)
        content = None if present is None else present[1]
        return SettingsFile(path, content, settings_text.parsed((content or b"").decode()))
    except StorageError as error:
        raise SettingsError(path, "", error.reason) from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(path, "", f"not the JSON that Claude Code reads ({error})") from error


def install(before: SettingsFile, hooks: dict[str, Any]) -> Change:
    """Return the change that puts `hooks` into a settings file; raises SettingsError for one that Claude Code drops."""
    for fault in settings_shape.faults(before.values, is_ignored=is_ours):
        raise SettingsError(before.path, fault.json_path, f"{fault.reason}, for which Claude Code drops the whole file")
    return _change(before, lambda values: with_hooks(values, hooks))


def uninstall(before: SettingsFile) -> Change:
    """Return the change that takes our hooks out of a settings file."""
    return _change(before, without_hooks)


def write(change: Change) -> str | None:
    """Make a change and return the path of the copy that was made before, None if nothing was there or nothing changes."""
    if change.is_none:
        return None
    path = change.before.path
    try:
        refuse_read_only(path)
        return _replace(path, change.before.content, change.text.encode(), Files())
    except StorageError as error:
        raise SettingsWriteError(path, error.reason, "check the owner and the permissions of its folder") from error


def with_hooks(settings: dict[str, Any], hooks: dict[str, Any]) -> dict[str, Any]:
    """Return settings that have `hooks` once: hooks of ours that they have already are replaced where they stand."""
    wanted = copy.deepcopy(hooks)
    result = copy.deepcopy(settings)
    events = result.setdefault("hooks", {})
    for event in list(events):
        groups = wanted.pop(event, None) or [None]
        _merge(events, event, groups[0])
    events.update(wanted)
    return result


def without_hooks(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings without our hooks, and without the groups, lists and objects that held nothing else."""
    result = copy.deepcopy(settings)
    events = result.get("hooks")
    if not isinstance(events, dict):
        return result
    for event in list(events):
        _merge(events, event, None)
    if not events and settings["hooks"]:
        del result["hooks"]
    return result


def entries(settings: dict[str, Any]) -> list[tuple[str, dict[str, Any], Any]]:
    """Return event, group and entry of every hook in the settings; values of other shapes are left out."""
    events = settings.get("hooks")
    return [
        (event, group, entry)
        for event, groups in (events.items() if isinstance(events, dict) else ())
        for group in (groups if isinstance(groups, list) else ())
        if isinstance(group, dict) and isinstance(group.get("hooks"), list)
        for entry in group["hooks"]
    ]


def has_matcher(group: dict[str, Any], wanted: str | None) -> bool:
    """Tell whether a group is for the tools that `wanted` lists; None is for all."""
    return bool(_tools(group.get("matcher")) == _tools(wanted))


def _change(before: SettingsFile, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Change:
    text = (before.content or b"").decode()
    values = change(before.values)
    if values == before.values:
        return Change(before, text)
    return Change(before, _writable(settings_text.changed(text, "hooks", values.get("hooks"))))


def _merge(events: dict[str, Any], event: str, wanted: dict[str, Any] | None) -> None:
    """Replace our groups at an event by the one group `wanted`; remove them if that is None."""
    groups = events[event]
    if not isinstance(groups, list):
        return
    is_missing, kept = wanted is not None, []
    for group in groups:
        old = group.get("hooks") if isinstance(group, dict) else None
        if not isinstance(old, list) or not any(map(is_ours, old)):
            kept.append(group)
            continue
        new = [entry for entry in old if not is_ours(entry)]
        if is_missing and wanted is not None and has_matcher(group, wanted.get("matcher")):
            new.insert(next(index for index, entry in enumerate(old) if is_ours(entry)), wanted["hooks"][0])
            is_missing = False
        if new:
            kept.append({**group, "hooks": new})
    if is_missing:
        kept.append(wanted)
    if kept or not groups:
        events[event] = kept
    else:
        del events[event]


def _replace(path: str, before: bytes | None, after: bytes, files: Files) -> str | None:
    files.refuse_planted_link(path)
    real = os.path.realpath(path)
    files.make_folder(os.path.dirname(real))
    copied = None if before is None else _back_up(path, before, files)
    present = files.read(path)
    if (None if present is None else present[1]) != before:
        if copied is not None:
            files.remove(copied)
        raise SettingsWriteError(path, "another program has changed it meanwhile", "run the command again")
    files.put(real, after)
    for old in _copies(path, files)[:-_KEPT_COPIES]:
        files.remove(old)
    return copied


def refuse_read_only(path: str) -> None:
    """Raise SettingsWriteError for a read-only file: its owner doesn't want it replaced."""
    with attempting("look at", path):
        if not os.path.exists(path) or os.stat(path).st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
            return
    remedy = "change it where it comes from, as --dry-run shows, or make it writable"
    raise SettingsWriteError(path, "it is read-only", remedy)


def _back_up(path: str, content: bytes, files: Files) -> str:
    copies = _copies(path, files)
    number = _number(copies[-1]) + 1 if copies else 1
    while not files.create(made := f"{path}.{_BACKUP}.{number}", content):
        number += 1
    with attempting("set the mode of", made):
        os.chmod(made, stat.S_IMODE(os.stat(path).st_mode))
    return made


def _copies(path: str, files: Files) -> list[str]:
    """Return the paths of the copies that were made of a settings file, oldest first."""
    folder, name = os.path.split(f"{path}.{_BACKUP}.")
    copies = [copy for copy in files.names(folder) if re.fullmatch(re.escape(name) + r"[1-9]\d{0,8}", copy)]
    return sorted((os.path.join(folder, copy) for copy in copies), key=_number)


def _number(copy: str) -> int:
    return int(copy.rpartition(".")[2])


def _tools(matcher: Any) -> Any:
    if matcher in (None, "", "*"):
        return None
    return {name.strip() for name in re.split(r"[|,]", matcher)} if isinstance(matcher, str) else matcher


def _writable(text: str) -> str:
    """Return a text with JSON escapes for surrogate halves, which UTF-8 can't hold."""
    return re.sub(r"[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", text)
