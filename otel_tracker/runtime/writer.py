"""The writer: a thread of this process for work that no signal handler may interrupt.

Python runs signal handlers in the main thread, between any two steps of the code there, and an exception of a handler leaves
that code in the middle. So the main thread hands over the work that holds locks or changes memory which threads share,
and waits for it. An exception may leave the wait; the work is done all the same, once and in its turn. No handler runs
in any other thread, which does its work itself.
"""

import sys
import weakref
from _queue import SimpleQueue  # `queue` and `threading` take longer to load than a hook may run
from _thread import allocate_lock, get_ident, start_new_thread
from functools import partial, wraps

from otel_tracker.runtime import environment, lifecycle
from otel_tracker.runtime.interrupts import is_interrupt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable
    from typing import Any, TypeVar

    Work = Callable[[], object]
    Function = TypeVar("Function", bound=Callable[..., Any])


class Receipt:
    """Work that was handed over."""

    __slots__ = ("_error", "_result", "_work", "done")

    def __init__(self, work: "Work") -> None:
        self._work: Work | None = work
        self._result: object = None
        self._error: BaseException | None = None
        self.done = allocate_lock()
        """Locked until the work is done."""
        self.done.acquire()

    def __call__(self) -> None:
        """Do the work."""
        work, self._work = self._work, None
        assert work is not None  # noqa: S101 - it is called once
        try:
            self._result = work()
        except BaseException as error:  # noqa: BLE001 - it is raised where the caller waits
            self._error = error
        finally:
            self.done.release()

    def wait(self) -> "Any":
        """Return the work's result, or raise its error, when it is done."""
        try:
            while not self.done.acquire(timeout=_MOMENT):
                pass  # a signal that came right before the wait doesn't interrupt it
        except BaseException:
            settle()
            raise
        self.done.release()
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # its traceback leads back here
        return self._result


class _Writer(lifecycle.Part):
    """The thread of one process, which is started when it is first needed."""

    def __init__(self) -> None:
        self.is_over = False
        """Whether the process ends: from then on the main thread does all work itself."""
        self.renew()
        lifecycle.join(self)

    def renew(self) -> None:
        """Leave the parent's work to the parent, in the child of a fork."""
        self.main_thread = 0  # its identifier, once it is known
        self.queue: SimpleQueue[Work | None] = SimpleQueue()
        self.newest = allocate_lock()  # locked until the work that was handed over last is done
        self._turn = allocate_lock()  # held by the thread that serves the queue
        self._is_stopped = False

    @property
    def is_serving(self) -> bool:
        """Whether a thread serves the queue."""
        return self._turn.locked()

    def start(self) -> None:
        """See to it that a thread serves the queue."""
        if self.is_serving:
            return
        try:
            self._begin()
        except RuntimeError:  # at the end of the process, or beyond a limit of the system
            while not self.queue.empty():
                _do(self.queue.get())

    def before_fork(self) -> None:
        """End the thread, which may take a second at most: a fork goes better without one."""
        if self.is_serving and not self._is_stopped:
            self._is_stopped = True
            self.queue.put(None)
            if self._turn.acquire(timeout=_LONGEST_STOP):
                self._turn.release()

    def after_fork(self) -> None:
        """Start a thread again: work may have come meanwhile."""
        if self._is_stopped:
            self._is_stopped = False
            self._begin()

    def end(self) -> None:
        """End the thread before Python's own end, which stops threads at any step, whatever they hold."""
        self.before_fork()
        self.is_over = True

    def _begin(self) -> None:
        """Start a thread, and wait until it serves: the next caller would start another one, which no `stop` could end."""
        serves = allocate_lock()
        serves.acquire()
        start_new_thread(self._serve, (serves,))
        serves.acquire(timeout=_LONGEST_STOP)

    def _serve(self, serves: "LockType") -> None:
        with self._turn:
            serves.release()
            _leave_signals_to_main_thread()
            while (work := self.queue.get()) is not None:
                _do(work)
                del work  # and all that it leads to, while there is nothing to do


_LONGEST_STOP, _MOMENT = 1.0, 0.05  # seconds
_writer = _Writer()


class Watch(weakref.ref["Any"]):
    """Has work done when an object is gone."""

    work: "Work | None" = None

    def __call__(self) -> None:
        """Do the work."""
        if self.work is not None:
            self.work()

    def has_come(self) -> bool:
        """Tell whether the object is gone."""
        return super().__call__() is None


def watch(thing: "Any", work: "Work") -> Watch:
    """Hand `work` over when `thing` is gone, unless the watch that is returned has gone first.

    Python does that itself, without a step that could be interrupted.
    """
    watch = Watch(thing, _writer.queue.put)
    watch.work = work
    return watch


def submit(work: "Work") -> Receipt:
    """Hand `work` over to the writer; in another thread than the main one do it."""
    receipt = Receipt(work)
    if _is_done_here():
        receipt()
    else:
        _writer.newest = receipt.done
        _writer.queue.put(receipt)
        _writer.start()
    return receipt


def uninterrupted(function: "Function") -> "Function":
    """Decorate a function that no signal handler may interrupt."""

    @wraps(function)
    def call(*arguments: "Any", **keywords: "Any") -> "Any":
        if _is_done_here():
            return function(*arguments, **keywords)
        return submit(partial(function, *arguments, **keywords)).wait()

    return call  # type: ignore[return-value]


def is_idle() -> bool:
    """Tell whether all work is done that was handed over; it may not be where a wait was interrupted."""
    return _writer.queue.empty() and not _writer.newest.locked()


def settle() -> None:
    """Give the writer a moment to finish its present work: an interrupted caller then finds no lock taken."""
    newest = _writer.newest
    if newest.acquire(timeout=_MOMENT):
        newest.release()


def _is_done_here() -> bool:
    return (
        environment.is_command
        or _writer.is_over
        or get_ident() != (_writer.main_thread or _find_main_thread())
        or sys.is_finalizing()
    )


def _find_main_thread() -> int:
    try:
        import threading  # now: the thread that loads it is taken for the main one
    except Exception as error:  # no file can be opened: whichever thread this is does its work itself
        if is_interrupt(error):
            raise
        return 0
    _writer.main_thread = threading.main_thread().ident or 0
    return _writer.main_thread


def _do(work: "Work | None") -> None:
    try:
        if work is not None:
            work()
    except BaseException as error:  # noqa: BLE001 - the writer goes on
        from otel_tracker.runtime.log import warn

        warn("cannot do work of the main thread: %r", error)


def _leave_signals_to_main_thread() -> None:
    """Make each signal interrupt the main thread's wait, whichever thread the system would choose."""
    import signal

    if hasattr(signal, "pthread_sigmask"):
        faults = {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT}
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - faults)
