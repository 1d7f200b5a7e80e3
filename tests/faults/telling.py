"""Says in which of many cases of a test a block has failed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def telling(case: Callable[[], str]) -> Iterator[None]:
    """Fail, where the block does, with what `case` says."""
    try:
        yield
    except Exception as error:
        raise AssertionError(case()) from error
