"""One recorder for each home in a process, so that everybody in it shares what has been read and what waits."""

import os

from otel_tracker.runtime.environment import home_folder
from otel_tracker.runtime.vitals import vitals
from otel_tracker.storage import lock
from otel_tracker.storage import recorder as recorders
from otel_tracker.storage import store as stores
from otel_tracker.storage.home import Home
from otel_tracker.storage.recorder import Recorder
from otel_tracker.storage.store import Store

_by_document: dict[str, Recorder] = {}
_by_folder: dict[str, Recorder] = {}


def recorder_of(config_file: "str | os.PathLike[str] | None" = None) -> Recorder:
    """Return the recorder of the document at `config_file`, else of the home that the environment names."""
    if config_file is not None:
        return _shared(Home.of_document(config_file))
    folder = home_folder()
    known = _by_folder.get(folder)
    if known is None:
        known = _by_folder[folder] = _shared(Home(folder))
    return known


def _shared(home: Home) -> Recorder:
    known = _by_document.get(home.document)
    return known or _by_document.setdefault(home.document, Recorder(Store(home)))  # another thread may have been faster


def _after_fork() -> None:
    """Make what the child has inherited its own; another thread of the parent may have been in the middle of it."""
    lock.forget()
    stores.forget_all()
    recorders.forget_all()
    vitals.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
