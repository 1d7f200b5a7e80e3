"""A lock between threads that a fork leaves usable in the child, where no thread would ever release the parent's."""

from _thread import RLock

from otel_tracker.runtime import lifecycle


class Guard(RLock, lifecycle.Part):  # type: ignore[misc]  # it isn't final, whatever typeshed says
    """A re-entrant lock: collecting a generator may run code in the thread that holds it already.

    `with` takes and releases it without a step of Python's in between, at which an exception of a signal handler could
    come.
    """

    def __init__(self) -> None:
        super().__init__()
        lifecycle.join(self)

    def renew(self) -> None:
        """Forget, in the child of a fork, which thread of the parent holds it."""
        self._at_fork_reinit()  # type: ignore[attr-defined]  # there is no public way
