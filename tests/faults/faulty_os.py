"""The system of a machine on which a call goes wrong, and maybe those after it."""

import errno
import fcntl
import os
from collections.abc import Callable
from functools import partial
from typing import Any

ERRORS = {
    **dict.fromkeys(("open", "listdir"), errno.EMFILE),
    **dict.fromkeys(("write", "writev", "mkdir"), errno.ENOSPC),
    **dict.fromkeys(("read", "lseek", "fstat", "ftruncate", "fsync", "fdatasync"), errno.EIO),
    **dict.fromkeys(("stat", "lstat", "replace", "unlink", "rmdir"), errno.EACCES),
    **dict.fromkeys(("chmod", "fchmod", "chown"), errno.EPERM),
    "flock": errno.ENOLCK,
}
"""How each call of the storage fails."""
ANY, WRITES, FLUSHES = tuple(ERRORS), ("write", "writev"), ("fsync", "fdatasync")
CHANGES = (*WRITES, *FLUSHES, "mkdir", "replace")

Span = tuple[int, int]  # of bytes in a file: its beginning and its end
GoWrong = Callable[["FaultyOs", str, tuple[Any, ...]], int]


class FaultyOs:
    """Stands in for the modules `os` and `fcntl`. Nothing is flushed, but what would be is known.

    The `nth` call of `calls` goes wrong in one way; then `more` calls, whichever they are, fail.
    """

    def __init__(self, nth: int, go_wrong: GoWrong, calls: tuple[str, ...], more: int) -> None:
        self._left, self._go_wrong, self._calls, self._more = nth, go_wrong, calls, more
        self._paths: dict[int, str] = {}
        self._flushed: dict[str, bytes] = {}
        self._forgotten: dict[str, Span] = {}
        self.wrong: str | None = None
        """The call that went wrong, in words; None if it never came to it."""

    def __getattr__(self, name: str) -> Any:
        module = os if hasattr(os, name) else fcntl
        real = partial(_WATCHED[name], self) if name in _WATCHED else getattr(module, name)
        return partial(self._call, name, real) if name in ERRORS else real

    def open_to_read(self, path: str, mode: str, buffering: int) -> Any:
        """Stand in for Python's own `open`."""
        return self._call("open", open, path, mode, buffering)

    def story(self) -> str:
        return self.wrong or "no call went wrong"

    def recover(self) -> None:
        """Let all calls succeed from now on."""
        self._calls, self._more = (), 0

    def unflushed(self, descriptor: int) -> tuple[str, Span]:
        """Return which file it is, and what of it is not on the disk."""
        path = self._paths[descriptor]
        return path, (len(self._flushed[path]), max(len(self._flushed[path]), len(_content(path))))

    def forget(self, path: str, span: Span) -> None:
        """Take a part of a file for flushed, as systems do after a flush that failed: it has to be written again."""
        self._forgotten[path] = span

    def cut_power(self) -> None:
        """Leave zeros where the disk has never got what was forgotten."""
        for path, span in self._forgotten.items():
            blank(path, span)

    def _call(self, name: str, real: Callable[..., Any], *arguments: Any) -> Any:
        if self.wrong is not None:
            if self._more:
                self._more -= 1
                fail(self, name, arguments)
        elif name in self._calls:
            self._left -= 1
            if self._left == 0:
                self.wrong = f"{name} of {self._paths.get(arguments[0], arguments[0])}"
                return self._go_wrong(self, name, arguments)
        return real(*arguments)

    def _open(self, path: str, flags: int, mode: int = 0o777) -> int:
        if path not in self._flushed:
            self._flushed[path] = _content(path)
        descriptor = os.open(path, flags, mode)
        self._paths[descriptor] = path
        return descriptor

    def _write(self, descriptor: int, content: Any) -> int:
        written = os.write(descriptor, content)
        path, end = self._paths[descriptor], os.lseek(descriptor, 0, os.SEEK_CUR)
        begin_forgotten, end_forgotten = self._forgotten.get(path, (0, 0))
        if end - written <= begin_forgotten:
            self._forgotten[path] = (max(begin_forgotten, min(end, end_forgotten)), end_forgotten)
        return written

    def _flush(self, descriptor: int) -> None:
        path = self._paths[descriptor]
        self._flushed[path] = _content(path)

    def _replace(self, old: str, new: str) -> None:
        os.replace(old, new)
        self._flushed[new] = self._flushed.pop(old)


_WATCHED: dict[str, Callable[..., Any]] = {
    "open": FaultyOs._open,
    "write": FaultyOs._write,
    "fsync": FaultyOs._flush,
    "fdatasync": FaultyOs._flush,
    "replace": FaultyOs._replace,
}


def fail(system: FaultyOs, name: str, arguments: tuple[Any, ...]) -> int:
    raise OSError(ERRORS[name], os.strerror(ERRORS[name]))


def write_half(system: FaultyOs, name: str, arguments: tuple[Any, ...]) -> int:
    descriptor, parts = arguments
    content = b"".join(parts) if name == "writev" else bytes(parts)
    return os.write(descriptor, content[: len(content) // 2])


def flush_nothing_and_forget_it(system: FaultyOs, name: str, arguments: tuple[Any, ...]) -> int:
    """Fail as most systems do: programs see what was written until the power is cut, but nobody flushes it any more."""
    system.forget(*system.unflushed(*arguments))
    return fail(system, name, arguments)


def flush_nothing_and_drop_it(system: FaultyOs, name: str, arguments: tuple[Any, ...]) -> int:
    path, (begin, end) = system.unflushed(*arguments)
    if begin < end:
        os.truncate(path, begin)
    return fail(system, name, arguments)


def flush_nothing_and_leave_zeros(system: FaultyOs, name: str, arguments: tuple[Any, ...]) -> int:
    blank(*system.unflushed(*arguments))
    return fail(system, name, arguments)


def blank(path: str, span: Span) -> None:
    begin, end = span
    if begin < end and os.path.exists(path):
        with open(path, "r+b") as file:
            file.seek(begin)
            file.write(bytes(end - begin))


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, IsADirectoryError):
        return b""
