"""A box that nothing leaves: a network namespace with loopback alone, an empty home, an environment of few variables."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.real_claude.patience import PATIENCE_SECONDS

# Opens a socket in the namespace and hands it out; lives as long as its standard input.
_HOLDER = """
import socket, subprocess, sys
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
listener = socket.create_server(("127.0.0.1", 0), backlog=64)
socket.send_fds(socket.socket(fileno=int(sys.argv[1])), [b"."], [listener.fileno()])
sys.stdin.read()
"""


class Process(subprocess.Popen[str]):
    """A process in the box."""

    def ended(self) -> subprocess.CompletedProcess[str]:
        """Return what it has printed, once it has ended."""
        printed, complaints = self.communicate(timeout=PATIENCE_SECONDS)
        return subprocess.CompletedProcess(self.args, self.returncode, printed, complaints)


class Box:
    """Processes in it reach `listener`, which this process answers at, and nothing else. `empty` ends all of them."""

    def __init__(self, folder: Path) -> None:
        self.home, self.project = folder / "home", folder / "project"
        for path in (self.home, self.project, folder / "tmp"):
            path.mkdir()
        self.environment = {
            "HOME": str(self.home),
            "PATH": os.pathsep.join((os.path.dirname(sys.executable), "/usr/local/bin", "/usr/bin", "/bin")),
            "TMPDIR": str(folder / "tmp"),
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "GIT_CONFIG_GLOBAL": os.devnull,
        }
        mine, theirs = socket.socketpair()
        with mine, theirs:
            self._holder = subprocess.Popen(
                ["unshare", "-rn", sys.executable, "-c", _HOLDER, str(theirs.fileno())],
                stdin=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
            )
            theirs.close()
            _, (descriptor, *_), *_ = socket.recv_fds(mine, 1, 1)
        self.listener = socket.socket(fileno=descriptor)

    def run(self, *command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a process to its end."""
        return self.start(*command, **variables).ended()

    def start(self, *command: str | Path, **variables: str) -> Process:
        """Start a process in the project's folder, in a session of its own."""
        return Process(
            ["nsenter", f"--target={self._holder.pid}", "--user", "--net", "--preserve-credentials", "--", *command],
            cwd=self.project,
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def processes(self) -> list[int]:
        """Return the ids of all processes in the box but its holder."""
        mine = _namespace(self._holder.pid)
        return [pid for pid in _all_processes() if pid != self._holder.pid and _namespace(pid) == mine]

    def end_all(self) -> None:
        """End all that was started in the box, whatever it has become."""
        while left := self.processes():
            for pid in left:
                os.kill(pid, signal.SIGKILL)

    def empty(self) -> None:
        """End all, and the box with it."""
        self.end_all()
        self._holder.communicate()
        self.listener.close()


def _all_processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _namespace(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:  # it has ended, or is another user's
        return None
