"""What becomes of a system call that fails: it is said with its path, or ignored."""

import errno

from otel_tracker.errors import StorageError
from otel_tracker.runtime.interrupts import is_interrupt


class saying:  # noqa: N801 - reads as a statement: `with saying("read", path):`
    """Turns an OSError of its block into a StorageError that says what was attempted on which path."""

    __slots__ = ("_attempted", "_path")

    def __init__(self, attempted: str, path: str) -> None:
        self._attempted, self._path = attempted, path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, OSError) and not isinstance(error, StorageError) and not is_interrupt(error):
            is_link = error.errno == errno.ELOOP
            reason = "it is a link, which is not followed here" if is_link else error.strerror or str(error)
            raise StorageError(self._attempted, self._path, reason) from error


class ignoring:  # noqa: N801 - reads as a statement, too
    """`contextlib.suppress`, whose module takes half a millisecond to load: too long for a question for an agent's health."""

    __slots__ = ("_kinds",)

    def __init__(self, *kinds: type[BaseException]) -> None:
        self._kinds = kinds

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        return isinstance(error, self._kinds)
