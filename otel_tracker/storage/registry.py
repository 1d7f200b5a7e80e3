"""One recorder for each home in a process: all trackers of a home share what was read and what still has to be written."""

from otel_tracker.runtime.environment import home_folder
from otel_tracker.storage.home import Home
from otel_tracker.storage.recorder import Recorder
from otel_tracker.storage.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os

_recorders: dict[str, Recorder] = {}  # by the path of the document, and by the folder that the environment names


def recorder_of(config_file: "str | os.PathLike[str] | None" = None) -> Recorder:
    """Return the recorder of the document at `config_file`, else of the home that the environment names."""
    if config_file is not None:
        return _shared(Home.of_document(config_file))
    folder = home_folder()
    if folder not in _recorders:
        _recorders[folder] = _shared(Home(folder))
    return _recorders[folder]


def _shared(home: Home) -> Recorder:
    present = _recorders.get(home.document)
    return present or _recorders.setdefault(home.document, Recorder(Store(home)))  # another thread may have been faster
