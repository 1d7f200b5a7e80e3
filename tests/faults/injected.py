# ruff: noqa: T201 - it tells the test what it does on standard output
"""A process under libfiu that records tasks: `fiu-run -x python -m tests.faults.injected HOME COMMANDS`.

COMMANDS are lines that `fiu-run -c` takes, such as `enable name=posix/io/oc/open,failinfo=5`; they are given here, since
Python would not start under every fault. What became of the tasks is printed as JSON, once everything that happens at a
process's exit has happened. With `--call COMMANDS CALL PATH` it is the error of a single call.
"""

import atexit
import ctypes
import json
import logging
import os
import re
import sys
from typing import Any

from otel_tracker.runtime.ids import new_id
from otel_tracker.runtime.log import shown
from otel_tracker.storage import lock
from otel_tracker.storage.home import Home
from otel_tracker.storage.recorder import Recorder
from otel_tracker.storage.store import Store
from tests.faults.events import begin, end

TASKS = 30


class Warnings(logging.Handler):
    """Keeps what is logged in memory: to write it out may fail, too."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class Libfiu:
    """The library that fiu-run has put under this process, and the commands that it is given here."""

    def __init__(self, commands: str) -> None:
        self._library = ctypes.CDLL("libfiu.so.0")
        self._commands = commands.splitlines()
        self._names = re.findall(r"name=([^,\n]+)", commands)

    def enable(self) -> None:
        for command in self._commands:
            self._give(command)

    def disable(self) -> bool:
        """Tell whether the first call would still have failed, which one that fails once wouldn't, and disable all."""
        is_armed = bool(self._library.fiu_fail(self._names[0].encode()))
        for name in self._names:
            self._give(f"disable name={name}")
        return is_armed

    def _give(self, command: str) -> None:
        error = ctypes.c_char_p()
        assert self._library.fiu_rc_string(command.encode(), ctypes.byref(error)) == 0, error.value


def record_tasks(recorder: Recorder) -> dict[str, list[str]]:
    """Record tasks, and return the runs whose end was acknowledged, and the ids of all events."""
    acknowledged: list[str] = []
    ids: list[str] = []
    unsure: list[str] = []
    for _ in range(TASKS):
        run_id = new_id()
        events = begin(run_id), end(run_id)
        recorder.announce(events[0])
        recorder.record(events[1])
        ids += [event["id"] for event in events]
        unsure.append(run_id)
        if not recorder._waiting:
            acknowledged += unsure
            unsure = []
    return {"acknowledged": acknowledged, "ids": ids}


def record_under(fault: Libfiu, home: Home) -> dict[str, Any]:
    warnings = Warnings()
    logging.getLogger("otel_tracker").addHandler(warnings)
    lock.WAIT_SECONDS = 0.1
    recorder = Recorder(Store(home))
    recorder.store.read()  # loads what is loaded when it is first needed
    shown("")  # and so does this; a process that imports TaskTracker has loaded it
    fault.enable()
    told = record_tasks(recorder)
    atexit._run_exitfuncs()
    return {**told, "warnings": warnings.lines, "is_armed": fault.disable()}


def error_under(fault: Libfiu, call: str, path: str) -> int | None:
    """Return the errno with which Python's `call`, of an open file, fails."""
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    known = {"os": os, "path": path, "file": file}
    code = compile(call, "call", "eval")
    fault.enable()
    try:
        eval(code, known)  # noqa: S307 - the test's own code
    except OSError as error:
        return error.errno
    finally:
        fault.disable()
    return None


if __name__ == "__main__":
    if sys.argv[1] == "--call":
        print(error_under(Libfiu(sys.argv[2]), *sys.argv[3:]))
    else:
        print(json.dumps(record_under(Libfiu(sys.argv[2]), Home(sys.argv[1]))))
