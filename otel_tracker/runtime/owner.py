"""The owner of a task, which has promised to see its end: a process, identified by host, boot, pid and start.

Only processes of the same host, boot and pid namespace can be seen; whether another one has ended is not known here.
"""

import os
import sys
import time
from _thread import get_native_id
from functools import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def this_process() -> "dict[str, Any]":
    """Return the identity of the running process: `host`, `boot_id`, `namespace`, `pid`, `started`.

    `started` is in the system's own units (clock ticks since boot on Linux) and only good for comparing; `boot_id`,
    `namespace` (of pids) and `started` are null where the system doesn't show them.
    """
    return dict(_present_process(os.getpid()))


def this_thread() -> "dict[str, Any]":
    """Return the identity of the running thread within its process: `thread` and `thread_started`.

    Empty for the main thread, which ends with its process, and where the system doesn't show threads.
    """
    thread = get_native_id()
    started = None if thread == os.getpid() else _started_in(f"/proc/self/task/{thread}/stat")
    return {} if started is None else {"thread": thread, "thread_started": started}


def process(pid: int) -> "dict[str, Any] | None":
    """Return the identity of a running process of this machine, as `this_process` does; None if there is none."""
    identity = _process(pid)
    return identity if identity["started"] not in (None, "ended") else None


def is_visible(owner: "dict[str, Any]") -> bool:
    """Tell whether this process can see if an owner has ended: only on its host, and in its pid namespace."""
    here = _present_process(os.getpid())
    if (
        os.name != "posix"
        or owner.get("host") != here["host"]
        or type(owner.get("pid")) is not int
        or owner["pid"] <= 0
    ):
        return False
    if _is_of_another_boot(owner, here):
        return True
    is_named = here["namespace"] is not None or not sys.platform.startswith("linux")
    return is_named and owner.get("namespace") == here["namespace"]


def is_seen_gone(owner: "dict[str, Any] | None", *, thoroughly: bool = True) -> bool:
    """Tell whether this process can see that an owner has ended; False for None.

    Unless `thoroughly`, another process that has got the owner's pid passes for the owner: that takes a microsecond.
    """
    return owner is not None and is_visible(owner) and _has_ended(owner, thoroughly=thoroughly)


def _has_ended(owner: "dict[str, Any]", *, thoroughly: bool) -> bool:
    """Tell whether a visible owner has ended."""
    here = _present_process(os.getpid())
    if owner == here:
        return False
    if _is_of_another_boot(owner, here):
        return True
    pid: int = owner["pid"]
    if is_ended(pid):
        return True
    # A zombie has ended; of a process that hides its start nothing more can be said.
    if thoroughly and owner.get("started") is not None and process_start(pid) not in (owner["started"], None):
        return True
    return owner.get("thread_started") is not None and _is_thread_ended(owner)


def _is_thread_ended(owner: "dict[str, Any]") -> bool:
    """Tell whether the thread of an owner has ended, whose process goes on."""
    pid, started = owner["pid"], owner["thread_started"]
    is_shown = os.path.isdir(f"/proc/{pid}/task")
    return is_shown and _started_in(f"/proc/{pid}/task/{owner.get('thread')}/stat") != started


def is_ended(pid: int) -> bool:
    """Tell whether there is no process with this id, as far as this one can see."""
    if os.name != "posix":
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it is another user's
        return False
    return False


def boot_clock() -> "dict[str, Any] | None":
    """Return `boot_id` and the `seconds` since that boot, suspension included; None where the system doesn't show them."""
    if not hasattr(time, "CLOCK_BOOTTIME") or _boot_id() is None:
        return None
    return {"boot_id": _boot_id(), "seconds": round(time.clock_gettime(time.CLOCK_BOOTTIME), 3)}


def seconds_since(clock: "dict[str, Any] | None") -> "float | None":
    """Return how long ago a boot clock was read, whatever the wall clock did; None if that was in another boot."""
    now = boot_clock()
    if clock is None or now is None or clock.get("boot_id") != now["boot_id"]:
        return None
    return float(now["seconds"]) - float(clock.get("seconds", now["seconds"]))


@cache
def _present_process(pid: int) -> "dict[str, Any]":
    return _process(pid)


def _process(pid: int) -> "dict[str, Any]":
    return {
        "host": _host(),
        "boot_id": _boot_id(),
        "namespace": _pid_namespace(),
        "pid": pid,
        "started": process_start(pid),
    }


def process_start(pid: int) -> "str | None":
    """Return when a process was started, `ended` for a zombie, None where the system doesn't show it."""
    started = _started_in(f"/proc/{pid}/stat")
    if started is not None:
        return started
    if os.name != "posix" or os.path.isdir("/proc/self"):
        return None
    import subprocess  # macOS

    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip() or None


def _started_in(path: str) -> "str | None":
    """Return when the process or thread was started whose `stat` of proc(5) is at a path, `ended` for a zombie."""
    stat = _text(path)
    if stat is None:
        return None
    fields = stat.rpartition(")")[2].split()  # behind the name, which may hold anything: from field 3 on
    return "ended" if fields[0] in "ZX" else fields[19]


def _host() -> str:
    if hasattr(os, "uname"):
        return os.uname().nodename
    import socket

    return socket.gethostname()


def _is_of_another_boot(owner: "dict[str, Any]", here: "dict[str, Any]") -> bool:
    boots = owner.get("boot_id"), here["boot_id"]
    return None not in boots and boots[0] != boots[1]


@cache
def _boot_id() -> "str | None":
    return _text("/proc/sys/kernel/random/boot_id")


def _pid_namespace() -> "str | None":
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return None


def _text(path: str) -> "str | None":
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None
