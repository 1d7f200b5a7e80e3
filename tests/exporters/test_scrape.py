"""`/metrics` and `/healthz`, in process and by `otel-tracker serve`; `otel-tracker metrics`."""

import gzip
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_tracker import MetricTracker, TaskTracker, serve_metrics
from otel_tracker.cli import main
from otel_tracker.errors import AddressError, OtelTrackerError
from otel_tracker.state.document import Document
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from otel_tracker_exporters.scrape import Exposition
from otel_tracker_exporters.scrape_server import MOST_CLIENTS, make_metrics_server
from tests.builders import NOON, end, folded

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture
def url(home: Home) -> Iterator[str]:
    """Serve the home's metrics in this process."""
    server, thread = serve_metrics(0, home=home.folder)
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def get(url: str, context: ssl.SSLContext | None = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    asked = urllib.request.Request(  # noqa: S310 - of this test's own server
        url, headers={key.replace("_", "-"): text for key, text in headers.items()}
    )
    try:
        with urllib.request.urlopen(asked, timeout=30, context=context) as answer:  # noqa: S310
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def record(tracker: MetricTracker, number: int = 1) -> None:
    for _ in range(number):
        with TaskTracker("core/coder.md", tracker=tracker) as task:
            task.set_tokens_used(5)


def test_what_others_record_is_in_the_next_scrape(url: str, tracker: MetricTracker) -> None:
    for number in (1, 2):
        record(tracker)
        status, headers, text = get(f"{url}/metrics")
        assert (status, headers["Content-Type"].split(";")[0]) == (200, "text/plain")
        assert f'otel_tracker_tasks_total{{agent="core/coder.md",outcome="success"}} {number}.0' in text.decode()


def test_the_format_is_what_the_scraper_accepts(url: str, tracker: MetricTracker) -> None:
    record(tracker)
    _, headers, text = get(f"{url}/metrics", Accept=OPEN_METRICS)
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")
    assert b"# {trace_id=" in text
    _, headers, zipped = get(f"{url}/metrics", Accept=OPEN_METRICS, Accept_Encoding="gzip")
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(zipped) == text


def test_health_is_asked_for_at_healthz_and_nothing_is_elsewhere(url: str) -> None:
    assert get(f"{url}/healthz")[0] == get(f"{url}/")[0] == 200
    assert get(f"{url}/metric")[0] == 404


def test_a_damaged_state_is_a_scrape_that_says_so(url: str, home: Home) -> None:
    Path(home.document).parent.mkdir(parents=True)
    Path(home.document).write_text('{"version": "8.0"}')
    status, _, text = get(f"{url}/metrics")
    assert (status, b"otel_tracker_state_read_success 0.0" in text) == (200, True)
    Path(home.document).unlink()
    assert b"otel_tracker_state_read_success 1.0" in get(f"{url}/metrics")[2]


def test_a_busy_port_is_a_clear_error(url: str, home: Home) -> None:
    port = int(url.rpartition(":")[2])
    with pytest.raises(AddressError, match=rf"cannot listen on 127\.0\.0\.1:{port}: .*in use; choose another --port"):
        serve_metrics(port, home=home.folder)


class Counting:
    """A state that is the same until it is told otherwise; counts how often it was asked for."""

    def __init__(self) -> None:
        self.document, self.now = folded(end("r1")), NOON + 100

    def read(self) -> Document:
        return self.document

    def clock(self) -> float:
        return self.now


def test_an_unchanged_state_is_rendered_once_and_a_changed_one_again(monkeypatch: pytest.MonkeyPatch) -> None:
    state, made = Counting(), list[Any]()
    exposition = Exposition(state.read, state.clock)
    from otel_tracker_exporters import prometheus

    families = prometheus.families

    def counted(document: Document, now: float, cache: prometheus.Cache) -> Any:
        made.append(now)
        return families(document, now, cache)

    monkeypatch.setattr(prometheus, "families", counted)
    first = exposition.render("")
    assert exposition.render("") == first
    assert len(made) == 1
    state.document = folded(end("r1"), end("r2"))
    assert exposition.render("") != first
    assert len(made) == 2


def test_a_breaker_whose_cooldown_ends_is_shown_so_although_nothing_happens() -> None:
    state = Counting()
    state.document = folded(*(end(f"r{n}", "failure") for n in range(5)))
    exposition = Exposition(state.read, state.clock)
    assert b'state="open"} 1.0' in exposition.render("")[1]
    state.now = NOON + 60 + 600
    assert b'state="half_open"} 1.0' in exposition.render("")[1]


def test_the_metrics_as_text_go_to_a_file_at_once_that_others_may_read(
    tracker: MetricTracker, home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tracker)
    path = tmp_path / "textfile" / "otel_tracker.prom"
    path.parent.mkdir()
    assert main(["metrics", "-o", str(path), "--home", home.folder]) == 0
    assert main(["metrics", "--home", home.folder]) == 0
    assert path.read_text() == capsys.readouterr().out
    assert path.stat().st_mode & 0o777 == 0o644
    path.chmod(0o640)
    Path(home.document).write_text('{"version": "8.0"}')
    assert main(["metrics", "-o", str(path), "--home", home.folder]) == 1
    assert "otel_tracker_state_read_success 0.0" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.fixture
def served(home: Home) -> Iterator[Callable[..., tuple["subprocess.Popen[str]", str]]]:
    """Start `otel-tracker serve`, and return it and its address."""
    running: list[subprocess.Popen[str]] = []

    def start(*options: str) -> tuple["subprocess.Popen[str]", str]:
        command = [sys.executable, "-m", "otel_tracker", "serve", "--home", home.folder, "--port", "0", *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout
        said = process.stdout.readline()
        assert said.startswith("serving "), said
        return process, said.split()[1].removesuffix("/")

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_served_process_ends_cleanly(
    served: Callable[..., Any], tracker: MetricTracker, number: signal.Signals
) -> None:
    record(tracker, 3)
    process, url = served()
    assert b'outcome="success"} 3.0' in get(f"{url}/metrics")[2]
    process.send_signal(number)
    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 0


@pytest.mark.processes
def test_the_served_process_says_when_its_port_is_busy(served: Callable[..., Any], home: Home) -> None:
    _, url = served()
    second = subprocess.run(
        [sys.executable, "-m", "otel_tracker", "serve", "--home", home.folder, "--port", url.rpartition(":")[2]],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert second.returncode == 1
    assert "Address already in use; choose another --port" in second.stderr


@pytest.mark.processes
def test_certificates_of_both_sides_are_asked_for(
    served: Callable[..., Any], tmp_path: Path, tracker: MetricTracker
) -> None:
    record(tracker)
    certificate, key = str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    _, url = served(
        "--certfile", certificate, "--keyfile", key, "--client-cafile", certificate, "--client-auth-required"
    )  # fmt: skip
    assert url.startswith("https://")
    context = ssl.create_default_context(cafile=certificate)
    with pytest.raises((urllib.error.URLError, ConnectionError, ssl.SSLError)):
        get(f"{url}/metrics", context)
    context.load_cert_chain(certificate, key)
    assert get(f"{url}/metrics", context)[0] == 200


@pytest.mark.processes
def test_a_served_home_that_is_read_only_is_only_read(
    served: Callable[..., Any], home: Home, tracker: MetricTracker
) -> None:
    record(tracker)
    before = sorted((str(path), path.stat().st_mtime_ns) for path in Path(home.folder).rglob("*"))
    _, url = served()
    assert b"otel_tracker_state_read_success 1.0" in get(f"{url}/metrics")[2]
    assert sorted((str(path), path.stat().st_mtime_ns) for path in Path(home.folder).rglob("*")) == before
    assert Store(home).read().agents
    assert os.path.exists(home.document)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"certfile": "nope.pem"}, "expected both certfile and keyfile"),
        ({"keyfile": "nope.pem"}, "expected both certfile and keyfile"),
        ({"client_auth_required": True}, "expected both certfile and keyfile"),
        ({"client_cafile": "nope.pem"}, "expected both certfile and keyfile"),
        ({"certfile": "nope.pem", "keyfile": "nope.key"}, "cannot use the certificates nope.pem, nope.key: "),
    ],
)
def test_half_a_set_up_of_tls_is_an_error_and_never_plain_http(
    home: Home, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(OtelTrackerError, match=message):
        serve_metrics(0, home=home.folder, **options)


HOSTS = {
    "evil.example": 403,
    "evil.example:9464": 403,
    "localhost.evil.example": 403,
    "127.0.0.1.evil.example:9464": 403,
    "[evil]": 403,
    "\u202e": 403,
    "localhost": 200,
    "LOCALHOST.:9464": 200,
    "tracker.localhost:9464": 200,
    "127.0.0.1:9464": 200,
    "192.168.1.5": 200,
    "[::1]:9464": 200,
    socket.gethostname(): 200,
    "tracker:9464": 200,
    "": 200,
}


def test_only_clients_that_ask_by_a_name_of_ours_get_an_answer(home: Home) -> None:
    """A page of the web that points its own name to this machine (DNS rebinding) asks by that name."""
    server, thread = serve_metrics(0, home=home.folder, allowed_hosts=["Tracker"])
    for host, status in HOSTS.items():
        for path in ("/metrics", "/healthz"):
            code, _, body = get(f"http://127.0.0.1:{server.server_port}{path}", Host=host.encode().decode("latin-1"))
            assert (host, code, b"--allow-host" in body) == (host, status, status == 403)
    server.shutdown()
    server.server_close()
    thread.join()
    with make_metrics_server(Exposition(Store(home).read), 0, allowed_hosts=["*"]) as server:
        assert server.answers_to("any.example")


@pytest.mark.processes
def test_clients_that_say_nothing_hold_neither_the_server_nor_its_threads(
    served: Callable[..., Any], tracker: MetricTracker
) -> None:
    record(tracker)
    process, url = served()
    address = ("127.0.0.1", int(url.rpartition(":")[2]))
    idle = [socket.create_connection(address) for _ in range(5 * MOST_CLIENTS)]
    for number, client in enumerate(idle):
        client.send(b"GET /metrics HTTP/1.1\r\nHost: local"[: number % 30])
    for _ in range(3):
        assert get(f"{url}/metrics")[0] == 200
    assert len(os.listdir(f"/proc/{process.pid}/task")) <= MOST_CLIENTS + 1
    for client in idle[:10]:  # which say goodbye rudely
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    for client in idle:
        client.close()
    with socket.create_connection(address) as client:
        client.send(b"\x16\x03\x01 nonsense\r\n\r\n")
        assert b"400" in client.recv(4096)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30) == ("", "")


def test_a_client_whose_time_is_over_is_sent_away(home: Home) -> None:
    server, thread = serve_metrics(0, home=home.folder)
    server.client_seconds = 0.0
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as client:
        client.send(b"GET /metrics HTTP/1.1\r\n")
        assert client.recv(4096) == b""
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.processes
def test_the_address_that_is_printed_is_one_that_clients_take(served: Callable[..., Any]) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    try:
        _, url = served("--host", "[::1]")
    except AssertionError:
        pytest.skip("no IPv6 here")
    assert url.startswith("http://[::1]:")
    assert get(f"{url}/healthz")[0] == 200
    with pytest.raises(AddressError, match=r"cannot listen on \[::1\]:\d+: "):
        serve_metrics(int(url.rpartition(":")[2]), "::1")


def test_odd_requests_get_an_answer(url: str) -> None:
    assert get(f"{url}/metrics", Accept="application/openmetrics-text; version=abc")[0] == 200
    assert "Content-Encoding" not in get(f"{url}/metrics", Accept_Encoding="gzip;q=0")[1]
    asked = urllib.request.Request(f"{url}/metrics", data=b"x", method="POST")  # noqa: S310 - of this test's own server
    with pytest.raises(urllib.error.HTTPError, match="405"):
        urllib.request.urlopen(asked, timeout=30)  # noqa: S310


def test_what_is_no_file_is_written_to_and_not_replaced(home: Home, tracker: MetricTracker, tmp_path: Path) -> None:
    record(tracker)
    link, target = tmp_path / "link.prom", tmp_path / "target.prom"
    target.write_text("")
    link.symlink_to(target)
    assert main(["metrics", "-o", str(link), "--home", home.folder]) == 0
    assert link.is_symlink()
    assert "otel_tracker_tasks_total" in target.read_text()
    assert main(["metrics", "-o", os.devnull, "--home", home.folder]) == 0
    assert not os.path.isfile(os.devnull)
