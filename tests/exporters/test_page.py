"""The page's answers without a browser: for whom it is shown, orders with and without the token, hostile texts, broken homes."""

import os
import re
from collections.abc import Iterator
from http.client import HTTPConnection
from urllib.parse import quote, urlencode

import pytest

from otel_tracker import MetricTracker, names
from otel_tracker.errors import OtelTrackerError
from otel_tracker.storage.home import Home
from otel_tracker.storage.restore import restore
from otel_tracker.storage.store import Store
from otel_tracker_exporters.page import Page
from otel_tracker_exporters.scrape import Exposition
from otel_tracker_exporters.scrape_server import MetricsServer, make_metrics_server
from tests.builders import AGENT, about, end
from tests.exporters.serving import in_a_thread

HOSTILE = "<script>alert(1)</script>\"'&\u202e\u0007"


@pytest.fixture
def server(home: Home) -> Iterator[MetricsServer]:
    store = Store(home)
    with in_a_thread(
        make_metrics_server(Exposition(store.read), 0, page=Page(store, ["page.example", "*"]))
    ) as serving:
        yield serving


class Client:
    """Asks a server as a browser on this machine does."""

    def __init__(self, server: MetricsServer) -> None:
        self._server = server
        self.host = f"localhost:{server.server_port}"

    def ask(self, path: str, body: dict[str, str] | None = None, **headers: str) -> tuple[int, dict[str, str], str]:
        connection = HTTPConnection("127.0.0.1", self._server.server_port, timeout=30)
        text = None if body is None else urlencode(body)
        connection.request("GET" if text is None else "POST", path, text, {"Host": self.host, **headers})
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read().decode()

    def order(self, kind: str, agent: str = AGENT, **changes: str) -> tuple[int, str]:
        question = self.ask(f"/order?agent={quote(agent)}&order={kind}")[2]
        fields = dict(re.findall(r'name="(token|agent|order)" value="([^"]*)"', question))
        headers = {"Origin": f"http://{self.host}"} | {key: text for key, text in changes.items() if key == "Origin"}
        body = fields | {key: text for key, text in changes.items() if key != "Origin"}
        status, _, text = self.ask("/order", body, **headers)
        return status, text


@pytest.fixture
def client(server: MetricsServer) -> Client:
    return Client(server)


VIEWS = ["/", "/?window=all", "/agent?agent=core/coder.md", "/sessions", "/session?id=s1", "/run?id=a"]


@pytest.mark.parametrize("path", VIEWS)
def test_every_view_is_a_whole_page_that_loads_nothing_from_elsewhere(home: Home, client: Client, path: str) -> None:
    Store(home).record([end("a", conversation_id="s1")])
    status, headers, text = client.ask(path)
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
    assert not re.search(r"""(?:src|href|action)="(?:https?:)?//""", text)
    assert not re.search(r"""<style|<script(?! src="/page.js")|\sstyle=|\son\w+=""", text)
    assert text.rstrip().endswith("</html>")


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/agent?agent=nope", 404, "No agent nope is known in this home"),
        ("/session?id=nope", 404, "No run or request of a session nope"),
        ("/run?id=nope", 404, "No run nope is in the journal"),
        ("/?from=tomorrow", 400, "tomorrow"),
        ("/?from=2026-02-02&to=2026-02-01", 400, "the end of a window"),
        ("/?csv=nope", 404, "no such table: one of tasks, agents, models"),
        ("/nope", 404, "not here"),
    ],
)
def test_what_can_not_be_shown_is_said_in_a_sentence(client: Client, path: str, status: int, said: str) -> None:
    answer = client.ask(path)
    assert answer[0] == status
    assert said in answer[2]


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:9464", "[::1]:9464", "LOCALHOST.", "a.localhost", "page.example:80"]
)
def test_the_page_is_shown_under_names_of_this_machine(client: Client, host: str) -> None:
    assert client.ask("/", Host=host)[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "", "[", "x@evil.example"]
)
def test_the_page_is_not_shown_under_another_name_and_says_why(client: Client, host: str) -> None:
    for path in (*VIEWS, "/live", "/page.js"):
        status, _, text = client.ask(path, Host=host)
        assert status == 403
        assert "--allow-host" in text
        assert "<" not in text


def test_a_page_of_another_site_is_refused_by_its_origin(client: Client) -> None:
    status, _, text = client.ask("/", Origin="http://evil.example")
    assert (status, "evil.example" in text) == (403, True)
    assert client.ask("/", Origin="null")[0] == 403
    assert client.ask("/", Origin=f"http://{client.host}")[0] == 200


def test_another_machine_gets_a_sentence_and_no_page(home: Home) -> None:
    refusal = Page(Store(home)).refusal("192.0.2.7", {"Host": "localhost"})
    assert refusal
    assert "192.0.2.7" in refusal
    assert "ssh -L" in refusal
    assert Page(Store(home)).refusal("::ffff:127.0.0.1", {"Host": "localhost"}) is None


def test_without_a_page_the_metrics_are_served_alone(home: Home) -> None:
    with in_a_thread(make_metrics_server(Exposition(Store(home).read), 0)) as server:
        client = Client(server)
        assert client.ask("/")[2].startswith("ok: the metrics are at /metrics")
        assert client.ask("/agent?agent=x")[0] == 404
        assert client.ask("/order", {"token": ""})[0] == 405


def test_orders_are_recorded_as_events_of_the_page(home: Home, client: Client) -> None:
    store = Store(home)
    store.record([end(str(number), names.FAILURE, number) for number in range(5)])
    for kind, state, forced in (("reset", "closed", None), ("open", "closed", "forced_open"), ("close", "closed", None),
                                ("disable", "closed", "disabled")):  # fmt: skip
        status, text = client.order(kind, reason="deploy")
        assert status == 200
        assert AGENT in text
        entry = store.read().agents[AGENT]
        override = entry["circuit"]["override"]
        assert (entry["circuit"]["state"], override and override["kind"]) == (state, forced)
    events = [(event["action"], event.get("by")) for event in store.events_with("agent", {AGENT}) if "by" in event]
    assert events == [
        (names.AGENT_RESET, "page"),
        (names.BREAKER_OVERRIDE, "page"),
        (names.AGENT_RESET, "page"),
        (names.BREAKER_OVERRIDE, "page"),
        (names.BREAKER_OVERRIDE, "page"),
    ]
    assert store.read().agents[AGENT]["circuit"]["override"]["reason"] == "deploy"


def test_an_order_needs_the_token_of_this_start_and_the_pages_own_origin(home: Home, client: Client) -> None:
    store = Store(home)
    store.record([end()])
    sequence = store.read().sequence
    assert client.order("open", token="of an earlier start")[0] == 403  # noqa: S106 - none of ours
    assert client.order("open", Origin="http://evil.example")[0] == 403
    fields = {"agent": AGENT, "order": "open"}
    assert client.ask("/order", fields, Origin=f"http://{client.host}")[0] == 403
    token = re.findall(r'name="token" value="([^"]*)"', client.ask(f"/order?agent={AGENT}&order=open")[2])[0]
    assert client.ask("/order", {**fields, "token": token})[0] == 403  # a browser always says the origin
    assert (
        client.ask("/order", {**fields, "token": token, "order": "explode"}, Origin=f"http://{client.host}")[0] == 404
    )
    assert client.ask("/order", {**fields, "token": token, "agent": "nope"}, Origin=f"http://{client.host}")[0] == 404
    assert client.ask("/live", {"token": token}, Origin=f"http://{client.host}")[0] == 405
    assert client.ask("/order", {"token": "x" * 10_000}, Origin=f"http://{client.host}")[0] == 405
    assert store.read().sequence == sequence


def test_hostile_texts_are_text(home: Home, client: Client) -> None:
    tracker, agent = MetricTracker(home.document), "<img src=x onerror=alert(1)>\"'.md"
    tracker.register_agent(HOSTILE[:-2], agent)
    store = Store(home)
    store.record([end("a", names.FAILURE, agent=agent, error=HOSTILE, conversation_id=HOSTILE, model="<b>")])
    for path in ("/?window=all", f"/agent?window=all&agent={quote(agent)}", "/run?id=a", "/sessions?window=all",
                 f"/session?id={quote(HOSTILE)}", f"/?filter={quote(HOSTILE)}", f"/agent?agent={quote(HOSTILE)}"):  # fmt: skip
        text = client.ask(path)[2]
        assert not re.search(r"<script(?! src=)|<img|<b>\.", text)
        assert not re.search("[\u202e\u0007]", text)
    assert "\\u202e" in client.ask("/run?id=a")[2]
    assert client.ask(f"/order?order=open&agent={quote(agent)}")[0] == 200


def test_the_live_number_is_that_of_the_last_event(home: Home, client: Client) -> None:
    before = client.ask("/live")[2]
    Store(home).record([end()])
    assert client.ask("/live")[2] != before
    assert '"sequence":1' in client.ask("/live")[2]


def test_a_home_that_can_not_be_read_is_said_so(home: Home, client: Client) -> None:
    Store(home).record([end()])
    with open(home.document, "w") as file:
        file.write('{"version": "99.0"}')
    status, _, text = client.ask("/")
    assert status == 500
    assert "be shown" in text
    assert "99.0" in text
    with pytest.raises(OtelTrackerError):
        Store(home).read()


def test_a_page_is_zipped_for_a_client_that_takes_it(client: Client) -> None:
    connection = HTTPConnection("127.0.0.1", int(client.host.rpartition(":")[2]), timeout=30)
    connection.request("GET", "/", headers={"Host": client.host, "Accept-Encoding": "gzip"})
    answer = connection.getresponse()
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.read()[:2] == b"\x1f\x8b"


def test_sums_are_right_after_events_that_add_and_events_that_change(home: Home, client: Client) -> None:
    def runs() -> dict[str, str]:
        rows = client.ask("/?window=all&csv=agents")[2].splitlines()[1:]
        return {row.split(",")[0]: row.split(",")[3] for row in rows}

    store = Store(home)
    store.record([end("a")])
    assert runs() == {AGENT: "1"}
    store.record([end("b", after=61)])
    assert runs() == {AGENT: "2"}
    store.record([about(names.AGENT_RENAMED, 70, to="core/new.md")])
    store.record([end("c", after=80)])
    assert runs() == {"core/new.md": "3"}
    backup = store.back_up()
    assert backup
    store.record([end("d", after=90)])
    assert runs() == {"core/new.md": "4"}
    restore(store, os.path.basename(backup), discard_later=True)
    assert runs() == {"core/new.md": "3"}
