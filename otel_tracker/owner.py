"""Who has promised to see the end of a task: a process, told from all others by host, boot, pid and start."""

import os
import socket
from functools import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def this_process() -> "dict[str, Any]":
    """Return what tells the running process from any other: `host`, `boot_id`, `pid`, `started`.

    `started` is in the system's own units (clock ticks since boot on Linux) and only good for comparing; `boot_id`
    and `started` are null where the system doesn't tell.
    """
    return dict(_process(os.getpid()))


@cache
def _process(pid: int) -> "dict[str, Any]":
    return {"host": socket.gethostname(), "boot_id": _boot_id(), "pid": pid, "started": process_start(pid)}


def process_start(pid: int) -> "str | None":
    """Return when a process was started, None if it is not running or can't be told."""
    stat = _text(f"/proc/{pid}/stat")
    if stat is not None:
        return stat.rpartition(")")[2].split()[19]  # field 22 of proc(5), counted behind the name
    if os.name != "posix" or os.path.isdir("/proc/self"):
        return None
    import subprocess  # macOS

    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip() or None


def _boot_id() -> "str | None":
    return _text("/proc/sys/kernel/random/boot_id")


def _text(path: str) -> "str | None":
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None
