"""A command as a child process, in a process group of its own, which gets our signals and is ended as a whole.

The group is in the background of a terminal until it wants to use the terminal: then the kernel stops the group, and this
process hands it the terminal and lets it go on, as a shell does with its jobs. So another program of the same pipeline keeps
the terminal meanwhile.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from typing import Self

GRACE_SECONDS = 10.0
"""Seconds between SIGTERM and SIGKILL."""
_LONGEST_SLEEP = 3600.0
_GROUP_SECONDS = 0.05  # between two looks at a group whose first process has ended

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_FORWARDED = (*_ENDING, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT)


class CommandEnd(NamedTuple):
    """How a command has ended."""

    status: int
    """Its exit status; minus the signal's number if it was ended by one, as in subprocess."""
    is_overdue: bool = False
    """Whether it was ended because its time was over."""
    is_interrupted: bool = False
    """Whether it has been asked to end: Ctrl-C, or a signal that we have passed on."""


class Children:
    """Runs commands, one at a time, and passes our signals on to them. A context manager, in the main thread only.

    A signal to end that comes while no command runs is kept in `ending_signal`. It raises KeyboardInterrupt only within
    `interruptible`, so that the recording of a task is never interrupted.
    """

    def __init__(self, grace: float = GRACE_SECONDS) -> None:
        self._grace = grace
        self._group: int | None = None
        self._is_starting = self._is_interruptible = self._is_running = False
        self._pending: list[int] = []
        self.ending_signal: int | None = None
        """The last signal to end that came."""

    def __enter__(self) -> "Self":
        self._woken, self._alarm = os.pipe()
        for end in (self._woken, self._alarm):
            os.set_blocking(end, False)
        self._old_alarm = signal.set_wakeup_fd(self._alarm, warn_on_full_buffer=False)
        # A signal that our parent has blocked would never wake us.
        self._mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD, *_FORWARDED])
        # Signals that were ignored at our start (nohup, a shell's background job) stay ignored, here and in the command.
        taken = [number for number in _FORWARDED if signal.getsignal(number) is not signal.SIG_IGN]
        self._old: dict[int, Any] = {number: signal.signal(number, self._pass_on) for number in taken}
        self._old[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None
    ) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        signal.set_wakeup_fd(self._old_alarm)
        os.close(self._woken)
        os.close(self._alarm)

    @contextmanager
    def interruptible(self) -> "Iterator[None]":
        """Raise KeyboardInterrupt for a signal to end that comes while no command runs, or that came before."""
        self._is_interruptible = True
        try:
            if self.ending_signal is not None:
                raise KeyboardInterrupt
            yield
        finally:
            self._is_interruptible = False

    def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        timeout: float | None = None,
        stdout: int | None = None,
        started: "Callable[[], None] | None" = None,
    ) -> CommandEnd:
        """Run a command until it ends; after `timeout` seconds its whole group gets SIGTERM, then SIGKILL.

        `started()` is called once it runs. Raises OSError if it can't be run.
        """
        process = self._start(command, environment, stdout)
        deadline = None if timeout is None else time.monotonic() + timeout
        if started is not None:
            started()
        try:
            for number in self._pending:
                self._send(number)
            status, is_overdue = self._wait(process.pid, deadline)
        finally:
            _hand_terminal_to(os.getpgrp(), taker=self._group)
            self._group, self._pending = None, []
        process.returncode = status
        is_ctrl_c = status in (-signal.SIGINT, 128 + signal.SIGINT) and not is_overdue
        return CommandEnd(status, is_overdue, is_interrupted=is_ctrl_c or self.ending_signal is not None)

    def _start(
        self, command: Sequence[str], environment: Mapping[str, str], stdout: int | None
    ) -> "subprocess.Popen[bytes]":
        self._is_starting = True
        try:
            # Descriptors that were left open for the command stay open; ours are closed at its start anyway.
            process = subprocess.Popen(command, env=environment, stdout=stdout, close_fds=False, process_group=0)
            self._group, self._is_running = process.pid, True
        finally:
            self._is_starting = False
        return process

    def _wait(self, pid: int, deadline: float | None) -> tuple[int, bool]:
        killing: float | None = None
        while True:
            ended, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
            if ended and os.WIFSTOPPED(status):
                self._follow_stop(os.WSTOPSIG(status))
                continue
            if ended:
                self._is_running = False
                break
            now = time.monotonic()
            if killing is not None and now >= killing:
                self._send(signal.SIGKILL)
                killing = now + self._grace
            elif killing is None and deadline is not None and now >= deadline:
                self._send(signal.SIGTERM)
                self._send(signal.SIGCONT)
                killing = now + self._grace
            self._sleep(killing or deadline)
        if killing is not None:
            self._end_group(killing)
        return os.waitstatus_to_exitcode(status), killing is not None

    def _end_group(self, killing: float) -> None:
        """Wait for the rest of a group whose time is over, and kill processes that don't end by themselves."""
        while self._send(0):
            if time.monotonic() >= killing:
                self._send(signal.SIGKILL)
                return
            time.sleep(_GROUP_SECONDS)

    def _sleep(self, until: float | None) -> None:
        """Sleep until a signal comes, or a moment of the monotonic clock."""
        seconds = _LONGEST_SLEEP if until is None else min(max(0.0, until - time.monotonic()), _LONGEST_SLEEP)
        alarm = select.poll()  # unlike select it takes any descriptor
        alarm.register(self._woken, select.POLLIN)
        alarm.poll(seconds * 1000)
        with suppress(BlockingIOError):
            while os.read(self._woken, 512):
                pass

    def _send(self, number: int) -> bool:
        """Send a signal to the command's group, and tell whether a process is still in it."""
        if self._group is None:
            return False
        try:
            os.killpg(self._group, number)
        except ProcessLookupError:
            if self._is_running:  # it has gone into another group
                os.kill(self._group, number)
            return self._is_running
        except PermissionError:  # a process in it has become another user's
            return True
        return True

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        if number in _ENDING:
            self.ending_signal = number
        if self._group is not None:
            self._send(number)
        elif self._is_starting:
            self._pending.append(number)
        elif number in _ENDING and self._is_interruptible:
            raise KeyboardInterrupt

    def _follow_stop(self, number: int) -> None:
        """Give the terminal to a command that was stopped because it needs it; otherwise stop as the command did."""
        if number in (signal.SIGTTIN, signal.SIGTTOU) and _hand_terminal_to(self._group, taker=os.getpgrp()):
            self._send(signal.SIGCONT)
        elif _has_terminal():
            _hand_terminal_to(os.getpgrp(), taker=self._group)
            _stop_group()
            if (
                number == signal.SIGTSTP
            ):  # if no shell could wake us we haven't stopped, and the command must not, either
                self._send(signal.SIGCONT)


def _hand_terminal_to(group: int | None, taker: int | None) -> bool:
    """Put a process group into the terminal's foreground if `taker` is there now; tell whether that was done."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])  # from the background it would stop us
    try:
        if group is None or os.tcgetpgrp(terminal) not in (taker, group):
            return False
        os.tcsetpgrp(terminal, group)
    except OSError:
        return False
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        os.close(terminal)
    return True


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _stop_group() -> None:
    """Stop our whole group, as Ctrl-Z does: the shell may wait for a script in it, not for us.

    The system doesn't do it if there is no shell that could let the group go on.
    """
    old = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    try:
        os.killpg(os.getpgrp(), signal.SIGTSTP)
    finally:
        signal.signal(signal.SIGTSTP, old)


def end_like(status: int) -> int:
    """End this process by the signal that has ended a command; return the exit status for any other end."""
    if status >= 0:
        return status
    number = -status
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number  # it may be blocked
