import gc
import logging
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_tracker import MetricTracker
from otel_tracker.cli import main
from otel_tracker.storage import document_file, registry
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.clock import Clock
from tests.places import REAL_DOCUMENT
from tests.shown import Run
from tests.stores import store_of

settings.register_profile("otel-tracker", deadline=None)  # how long an example takes says something about the machine
settings.load_profile("otel-tracker")


_MEMORY, _DISK = "/dev/shm", "/var/tmp"  # noqa: S108 - the test's own folders are made in them
_LEAST_BYTES = 2**30


def pytest_configure() -> None:
    """Keep temporary folders in memory where there is room, unless TMPDIR names a place for them.

    A flush costs nothing there; the few tests in which it is to take its time use the fixture `disk_home`.
    """
    if "TMPDIR" not in os.environ and _is_good_for_temporary_folders(_MEMORY):
        os.environ["TMPDIR"] = _MEMORY
        tempfile.tempdir = None  # decided anew, from TMPDIR


def pytest_collection_finish() -> None:
    """Leave out of each garbage collection what lives as long as the run: thousands of tests, and all modules."""
    gc.collect()
    gc.freeze()


def _is_good_for_temporary_folders(folder: str) -> bool:
    """Tell whether `folder` has room, and tests may write to it and run programs from it."""
    try:
        status = os.statvfs(folder)
    except OSError:
        return False
    has_room = status.f_bavail * status.f_frsize >= _LEAST_BYTES
    return has_room and not status.f_flag & os.ST_NOEXEC and os.access(folder, os.W_OK | os.X_OK)


@pytest.fixture(autouse=True, scope="session")
def _no_signal_ignored() -> Iterator[None]:
    """Let tests that run in the background of a script, where Ctrl-C is ignored, start processes that hear it."""
    ignored = [number for number in (signal.SIGINT, signal.SIGQUIT) if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test away from the user's home and from settings of the shell."""
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")  # the exporter that the tests have
    for name in (
        "CLAUDE_CONFIG_DIR",
        "CLAUDE_PROJECT_DIR",
        "OTEL_TRACKER_HOME",
        "OTEL_TRACKER_ENFORCE",
        "OTEL_SDK_DISABLED",
        "OTEL_TRACES_SAMPLER",
        "TRACEPARENT",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _no_foreign_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read a faulty document again at once: no other program is in the middle of writing it."""
    monkeypatch.setattr(document_file, "REREAD_SECONDS", 0)


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the recorders that a test makes end with it: each fork of a later test would renew them."""
    monkeypatch.setattr(registry, "_recorders", {})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(str(tmp_path / "agents"))


@pytest.fixture
def disk_home() -> Iterator[Home]:
    """Return a home on a disk, where a flush takes its time and other processes come between."""
    with tempfile.TemporaryDirectory(prefix="otel-tracker-", dir=_DISK) as folder:
        yield Home(os.path.join(folder, "agents"))


@pytest.fixture
def store(home: Home) -> Store:
    return Store(home)


@pytest.fixture
def tracker(home: Home) -> MetricTracker:
    return MetricTracker(home.document)


@pytest.fixture
def spans() -> InMemorySpanExporter:
    """Collect the spans of `traced`."""
    return InMemorySpanExporter()


@pytest.fixture
def traced(home: Home, spans: InMemorySpanExporter) -> MetricTracker:
    """Return a tracker whose spans are exported to `spans`, each as soon as it ends."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return MetricTracker(home.document, tracer_provider=provider)


@pytest.fixture
def run(home: Home, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command on the home, in this process, and return its status and what it printed."""

    def command(*arguments: str) -> tuple[int, str, str]:
        ours = arguments.index("--") if "--" in arguments else len(arguments)
        try:
            status = main([*arguments[:ours], "--home", home.folder, *arguments[ours:]])
        except SystemExit as stop:
            status = int(stop.code or 0)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return command


@pytest.fixture
def clock(tracker: MetricTracker, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give `tracker`, and all that asks for the time, a clock that only the test moves."""
    clock, store = Clock(), store_of(tracker)
    monkeypatch.setattr(time, "time", clock)
    monkeypatch.setattr(time, "time_ns", lambda: int(clock.now * 1e9))
    monkeypatch.setattr(store, "_clock", clock)
    store.renew()
    return clock


@pytest.fixture
def adopt(home: Home) -> Callable[[], Home]:
    """Put a real v7.0 document into the home."""

    def put() -> Home:
        Path(home.document).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REAL_DOCUMENT, home.document)
        return home

    return put


@pytest.fixture
def warnings_logged(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """Return what has been logged as a warning so far."""
    with caplog.at_level(logging.WARNING, "otel_tracker"):
        yield lambda: [record.getMessage() for record in caplog.records if record.name == "otel_tracker"]
