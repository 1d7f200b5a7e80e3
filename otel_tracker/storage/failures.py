"""Two ways to treat a system call that fails: report it with its path, or ignore it."""

import errno

from otel_tracker.errors import StorageError
from otel_tracker.runtime.interrupts import is_interrupt


class attempting:  # noqa: N801 - reads as a statement: `with attempting("read", path):`
    """Turns an OSError of its block into a StorageError that names the attempt and the path."""

    __slots__ = ("_attempted", "_path")

    def __init__(self, attempted: str, path: str) -> None:
        self._attempted, self._path = attempted, path

    def __enter__(self) -> None:
        pass

    def __exit__(self, error_type: object, error: object, trace: object) -> None:
        if isinstance(error, OSError) and not isinstance(error, StorageError) and not is_interrupt(error):
            is_link = error.errno == errno.ELOOP
            reason = "it is a link, which is not followed here" if is_link else error.strerror or str(error)
            raise StorageError(self._attempted, self._path, reason) from error


class ignoring:  # noqa: N801 - reads as a statement, too
    """Does what `contextlib.suppress` does, whose module takes half a millisecond to load: too long for `health`."""

    __slots__ = ("_types",)

    def __init__(self, *types: type[BaseException]) -> None:
        self._types = types

    def __enter__(self) -> None:
        pass

    def __exit__(self, error_type: object, error: object, trace: object) -> bool:
        return isinstance(error, self._types)
