"""Passes a command's output on, and shows it to a function that looks for something in it."""

import fcntl
import os
import select
import termios
import threading
from array import array
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

CHUNK_BYTES = 65_536


class Tee:
    """Copies the bytes that are written to `self.inlet` to the file descriptor `outlet`, in a thread.

    When the outlet's reader is gone the inlet breaks, too, as if the command wrote to the outlet itself. A context manager: at
    its end everything that the command has written is copied; later output of its child processes has no reader.
    """

    def __init__(self, outlet: int, look: Callable[[bytes], None]) -> None:
        self._outlet, self._look = outlet, look
        self._source, self.inlet = os.pipe()
        self._woken, self._alarm = os.pipe()
        self._thread = threading.Thread(target=self._copy, name="output", daemon=True)
        self._is_started = False

    def start(self) -> None:
        """Begin to copy, once the command has the inlet."""
        self._is_started = True
        os.close(self.inlet)
        self._thread.start()

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None
    ) -> None:
        os.close(self._alarm)
        if self._is_started:
            self._thread.join()
        else:
            os.close(self.inlet)
            os.close(self._source)
        os.close(self._woken)

    def _copy(self) -> None:
        try:
            ready = select.poll()  # unlike select it takes any descriptor
            for end in (self._source, self._woken):
                ready.register(end, select.POLLIN)
            while True:
                if any(end == self._woken for end, _ in ready.poll()):
                    break
                if not self._pass_on(CHUNK_BYTES):
                    return
            left = _bytes_in(self._source)  # the command's own output; its children may write for ever
            while left > 0:
                left -= self._pass_on(min(left, CHUNK_BYTES))
        except OSError:  # the outlet is closed
            return
        finally:
            os.close(self._source)

    def _pass_on(self, size: int) -> int:
        """Copy at most `size` bytes and return their number: 0 when no process is left that could write."""
        chunk = os.read(self._source, size)
        self._write(chunk)
        self._look(chunk)
        return len(chunk)

    def _write(self, chunk: bytes) -> None:
        left = memoryview(chunk)
        while left:
            try:
                left = left[os.write(self._outlet, left) :]
            except BlockingIOError:
                room = select.poll()
                room.register(self._outlet, select.POLLOUT)
                room.poll()


def _bytes_in(pipe: int) -> int:
    """Return how many bytes wait in a pipe."""
    count = array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]
