"""`otel-tracker claude-code`: hooks into the settings of Claude Code and out of them."""

import difflib
import os
import shlex
import shutil
import time
from io import StringIO

from otel_tracker.errors import command
from otel_tracker.integrations.claude_code import past_import
from otel_tracker.integrations.claude_code.runs.session_files import note_first_session
from otel_tracker.integrations.claude_code.settings import registration, settings_file, settings_places
from otel_tracker.runtime.environment import DEFAULT_HOME, chosen_home
from otel_tracker.runtime.log import complain
from otel_tracker.runtime.printable import printable
from otel_tracker.storage import mounts
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

    from otel_tracker.integrations.protocol import MakeHome

EXIT_USAGE = 2


def install(options: "Namespace", make_home: "MakeHome") -> int:
    """Make the home, put the hooks into the settings, and print what was done; with `--dry-run`, print the change alone."""
    if options.no_gate and options.fail_closed:
        complain("--fail-closed is about the gate, which --no-gate leaves out")
        return EXIT_USAGE
    choice = registration.Choice(_home(options), not options.no_gate, options.fail_closed)
    program = _program(options.project)
    before = settings_file.read(_path(options))
    change = settings_file.install(before, registration.hooks(program, choice, is_shared=options.project))
    if options.dry_run:
        _show(change)
        return _import(options) if options.with_past else 0
    settings_file.refuse_read_only(before.path)
    store = Store(Home(chosen_home(options.home)))
    made = make_home(store)
    note_first_session(store.home, time.time())
    copied = settings_file.write(change)
    print(made)
    print(f"settings: {printable(before.path)} ({_what_became(change)})")
    print(f"hooks:    {_counted(before)}")
    print(f"command:  {printable(shlex.join([program, *registration.arguments(choice)]))}")
    print(f"gate:     {_gate(choice)}")
    for old in {registration.choice_of(entry) for entry in _ours(before)} - {choice}:
        print(f"note:     before, the hooks were called with: {printable(shlex.join(registration.arguments(old)))}")
    _tell_backup(before.path, copied)
    for other, remedy in _others(before.path):
        print(f"note:     they are registered in {printable(other)}, too; once is enough: {remedy}")
    if options.project and os.path.isabs(program):
        print(f"note:     other users of this file need {registration.PROGRAM} at that place; it isn't in PATH here")
    print("next:     sessions that are started from now on have the hooks; end those that run, and resume them")
    status, doctor = (printable(command(name, home=choice.home)) for name in ("status", "doctor"))
    print(f"see:      {status}, after the first sub-agent; {doctor}, if nothing comes")
    scope = ("--project",) if options.project else ()
    print(f"undo:     {command('claude-code uninstall', options=scope)}")
    if options.with_past:
        return _import(options)
    past = past_import.waiting(store.home)
    if past is not None:
        print(f"past:     {past}")
    return 0


def _import(options: "Namespace") -> int:
    """Import all that the user's transcripts tell of, as `import` does without arguments."""
    vars(options).update(paths=[], since=None, format="table")
    return past_import.import_past(options)


def uninstall(options: "Namespace") -> int:
    """Take the hooks out of the settings, and print what was done; with `--dry-run`, print the change alone."""
    before = settings_file.read(_path(options))
    change = settings_file.uninstall(before)
    if options.dry_run:
        _show(change)
        return 0
    copied = settings_file.write(change)
    removed = len(_ours(before))
    print(f"settings: {printable(before.path)} ({_what_became(change)})")
    print(f"hooks:    {f'{removed} removed' if removed else 'there were none of ours'}")
    _tell_backup(before.path, copied)
    for other, remedy in _others(before.path):
        print(f"note:     they stay registered in {printable(other)}; that is ended by: {remedy}")
    if removed:
        print("next:     sessions that run may go on calling them until they end")
    for folder in dict.fromkeys(registration.choice_of(entry).home or DEFAULT_HOME for entry in _ours(before)):
        print(f"kept:     {printable(os.path.expanduser(folder))}, with all that was recorded")
    return 0


def _path(options: "Namespace") -> str:
    path = settings_file.project_path() if options.project else settings_file.user_path()
    if not os.path.isabs(path):
        raise settings_file.SettingsWriteError(path, "the current folder is gone", "go to the project's folder")
    return path


def _home(options: "Namespace") -> "str | None":
    """Return the home as the hooks' `--home` names it, None for the default home.

    In shared settings, a home below the user's own folder is written with `~`, so that each user has one.
    """
    home = Home(chosen_home(options.home)).option
    if home is None:
        return None
    own = os.path.expanduser("~") + os.sep
    return os.path.join("~", home.removeprefix(own)) if options.project and home.startswith(own) else home


def _program(is_shared: bool) -> str:
    """Return the program as the hooks call it: by its path, or in shared settings by its name."""
    if is_shared and shutil.which(registration.PROGRAM):
        return registration.PROGRAM
    return registration.program()


def _show(change: settings_file.Change) -> None:
    before, path = change.before, printable(change.before.path)
    old, new = StringIO((before.content or b"").decode()), StringIO(change.text)
    shown = list(difflib.unified_diff(list(old), list(new), path, path))
    for line in shown:
        print(printable(line.rstrip("\r\n")))
        if not line.endswith("\n"):
            print("\\ No newline at end of file")
    if not shown:
        print(f"{path} would stay as it is")


def _what_became(change: settings_file.Change) -> str:
    if change.is_none:
        return "as it was"
    return "new" if change.before.content is None else "changed"


def _counted(before: settings_file.SettingsFile) -> str:
    """Return the number of hooks, of new ones and of the user's own, in words."""
    entries = settings_file.entries(before.values)
    previous = {event for event, _, entry in entries if registration.is_ours(entry)}
    own = sum(not registration.is_ours(entry) for *_, entry in entries)
    new = sum(hook.event not in previous for hook in registration.HOOKS)
    text = f"{len(registration.HOOKS)} registered, {new} of them new"
    return text + (f"; {own} of your own, which stay as they are" if own else "")


def _ours(settings: settings_file.SettingsFile) -> "list[dict[str, Any]]":
    return [entry for *_, entry in settings_file.entries(settings.values) if registration.is_ours(entry)]


def _gate(choice: registration.Choice) -> str:
    if not choice.is_gated:
        return "off: runs are recorded, none is refused"
    if choice.is_closed_on_doubt:
        return "on: agents whose breaker is open are refused, and all where it can't be asked"
    return "on: agents whose breaker is open are refused; where it can't be asked, they run"


def _tell_backup(path: str, copied: "str | None") -> None:
    if copied is not None:
        print(f"backup:   {printable(copied)}")
        if mounts.is_mounted_alone(path):
            print(f"note:     {printable(mounts.written_in_place(path))}")


def _others(path: str) -> "list[tuple[str, str]]":
    """Return the other files and plugins that register the hooks, each with the command or edit that ends it."""
    real = os.path.realpath(path)
    return [(other, remedy) for other, remedy in settings_places.registered() if os.path.realpath(other) != real]
