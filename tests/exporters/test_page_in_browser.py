"""The page in the real Chromium, against a real `otel-tracker serve`, while real processes record."""

import csv
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import pytest

from otel_tracker import names
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.exporters.chromium import axe_in, chromium
from tests.exporters.page_homes import CODER, ERROR, IDLE, SESSION, TESTER, ended, fill
from tests.waiting import BOUND, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("browser")]  # one browser for all

MOST_BYTES = 150_000
SEARCH, ROWS = ".filter input[type=search]", ".list tbody tr"
VIEWS = {
    "fleet": "/",
    "agent": f"/agent?agent={quote(TESTER)}",
    "sessions": "/sessions",
    "session": f"/session?id={SESSION}&run=inner",
    "run": "/run?id=t0",
    "question": f"/order?agent={quote(TESTER)}&order=open",
    "not known": "/agent?agent=nope",
}


_OF_BROWSER = ("Failed to load resource", "Access to fetch at")
"""What the browser itself says of answers that are errors, or that it keeps from another site."""


class Served(NamedTuple):
    """A home, and the process that serves its page."""

    home: Home
    address: str
    process: "subprocess.Popen[str]"


@contextmanager
def serving(home: Home, port: str = "0") -> Iterator[Served]:
    command = [sys.executable, "-m", "otel_tracker", "serve", "--home", home.folder, "--port", port]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            said = process.stdout.readline()
            yield Served(home, said.split()[1].rstrip("/"), process)
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a home of 42 agents, which no test changes."""
    home = Home(str(tmp_path_factory.mktemp("fleet")))
    fill(home, 42)
    with serving(home) as served:
        yield served


@pytest.fixture
def own(home: Home) -> Iterator[Served]:
    """Serve a small home that the test may change."""
    fill(home, 6)
    with serving(home) as served:
        yield served


@pytest.fixture
def opened(browser: "Browser") -> Iterator[Callable[..., "Page"]]:
    """Open pages in contexts of their own; at the end nothing may have been said on their consoles."""
    contexts: list[BrowserContext] = []
    said: list[str] = []

    def open_page(address: str, *, status: int = 200, **options: Any) -> "Page":
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(BOUND * 1000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        answer = page.goto(address)
        assert answer
        assert answer.status == status
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [text for text in said if not text.startswith(_OF_BROWSER)] == []


def record(home: Home, agent: str = CODER) -> None:
    """Record a task in a process of its own."""
    code = "import sys; from otel_tracker import MetricTracker, TaskTracker\nwith TaskTracker(sys.argv[2], tracker=MetricTracker(sys.argv[1])): pass"
    subprocess.run([sys.executable, "-c", code, home.document, agent], check=True)


def figure(page: "Page", tile: str) -> str:
    return page.locator(".tiles div", has=page.get_by_text(tile, exact=True)).locator(".n").inner_text()


def has_text(page: "Page", selector: str, text: str) -> None:
    """Wait until an element has a text."""
    page.locator(selector, has_text=text).first.wait_for()


def has_rows(page: "Page", number: int) -> None:
    """Wait until the list has so many rows."""
    page.locator(ROWS).nth(number - 1).wait_for(state="attached")
    page.locator(ROWS).nth(number).wait_for(state="detached")


def ticks(page: "Page", selector: str) -> None:
    """Wait until an element counts on by itself."""
    element = page.locator(selector).first
    before = element.inner_text()
    until(lambda: element.inner_text() != before)


def test_what_a_process_records_is_on_the_screen_and_nothing_else_moves(
    own: Served, opened: Callable[..., "Page"]
) -> None:
    page = opened(f"{own.address}/", viewport={"width": 1280, "height": 400})
    page.evaluate(
        """() => {
            window.isThisPage = true;
            window.marked = new Set();
            new MutationObserver((changes) => changes.forEach(({ target }) => {
                if (target.classList.contains("changed")) window.marked.add(target.textContent);
            })).observe(document.body, { subtree: true, attributeFilter: ["class"] });
        }"""
    )
    page.locator("#data-tasks > summary").click()
    page.locator(SEARCH).focus()
    page.evaluate("scrollTo(0, 300)")
    before = int(figure(page, "Runs"))
    record(own.home)
    page.locator(".tiles .n", has_text=re.compile(f"^{before + 1}$")).wait_for()
    assert page.evaluate("window.isThisPage")
    assert str(before + 1) in page.evaluate("[...window.marked]")
    assert page.evaluate("document.activeElement.name") == "filter"
    assert page.evaluate("scrollY") == 300
    assert page.locator("#data-tasks").get_attribute("open") is not None


def test_a_new_agent_and_a_running_task_appear(own: Served, opened: Callable[..., "Page"]) -> None:
    page = opened(f"{own.address}/")
    record(own.home, "brand/new.md")
    page.locator("tr[data-key='brand/new.md']").wait_for()
    ticks(page, "[data-until]")


def test_the_window_is_in_the_address_and_changes_the_sums(fleet: Served, opened: Callable[..., "Page"]) -> None:
    page = opened(f"{fleet.address}/")
    week = int(figure(page, "Runs"))
    page.get_by_role("link", name="30 days").click()
    has_text(page, ".tiles .n", str(week + 1))
    assert page.url.endswith("/?window=30d")
    page.reload()
    assert figure(page, "Runs") == str(week + 1)
    page.go_back()
    has_text(page, ".tiles .n", str(week))
    page.locator("#from-to > summary").click()
    page.locator("input[name=from]").fill("2026-01-01")
    page.locator("input[name=to]").fill("2026-01-02")
    page.get_by_role("button", name="Show").click()
    has_text(page, ".tiles .n", "0")
    assert page.url.endswith("/?from=2026-01-01&to=2026-01-02")
    assert "No task has ended" in page.locator("main").inner_text()


def test_agents_are_sorted_and_filtered_in_place(fleet: Served, opened: Callable[..., "Page"]) -> None:
    page = opened(f"{fleet.address}/")
    page.evaluate("window.isThisPage = true")
    first = page.locator(ROWS).first
    assert first.get_attribute("data-key") == TESTER
    page.get_by_role("link", name="runs", exact=True).click()
    page.wait_for_url("**/?sort=runs")
    has_text(page, ".list thead th[aria-sort=descending]", "runs")
    page.get_by_role("link", name="agent", exact=True).click()
    has_text(page, ".list thead th[aria-sort=ascending]", "agent")
    assert first.get_attribute("data-key") == CODER
    page.get_by_role("link", name="agent", exact=True).click()
    has_text(page, ".list thead th[aria-sort=descending]", "agent")
    assert first.get_attribute("data-key") == "Explore"
    page.locator(SEARCH).press_sequentially("EXPERT_00")
    has_rows(page, 10)
    assert page.locator(SEARCH).input_value() == "EXPERT_00"
    assert page.evaluate("window.isThisPage")
    assert "filter=EXPERT_00" in page.url


def test_a_chart_is_a_table_and_a_table_a_csv(fleet: Served, opened: Callable[..., "Page"]) -> None:
    page = opened(f"{fleet.address}/")
    table = page.locator("#data-tasks table")
    assert not table.is_visible()
    page.locator("#data-tasks > summary").click()
    assert table.is_visible()
    with page.expect_download() as downloading:
        page.locator(".agents > a.csv").click()
    with open(downloading.value.path(), newline="") as file:
        rows = {row["agent"]: row for row in csv.DictReader(file)}
    assert rows[TESTER]["success_rate"] == "0.0"
    assert len(rows) == 41


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_is_accessible_in_both_schemes_and_fits_a_phone(
    view: str, fleet: Served, opened: Callable[..., "Page"], axe: str
) -> None:
    for scheme in ("light", "dark"):
        status = 404 if view == "not known" else 200
        page = opened(f"{fleet.address}{VIEWS[view]}", status=status, color_scheme=scheme, bypass_csp=True)
        for width in (1280, 360):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert violations(page, axe) == []
        grounds = {"light": "rgb(252, 252, 251)", "dark": "rgb(18, 20, 23)"}
        assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == grounds[scheme]


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    return axe_in(tmp_path_factory.mktemp("axe"))


def violations(page: "Page", axe: str) -> list[str]:
    """Return what axe finds on a page with all its details open."""
    page.evaluate(axe)
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    found = page.evaluate("axe.run().then(({ violations }) => violations)")
    return [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]


def test_the_question_is_accessible_and_says_what_happens(own: Served, opened: Callable[..., "Page"], axe: str) -> None:
    page = opened(f"{own.address}/agent?agent={quote(TESTER)}", bypass_csp=True)
    page.get_by_role("link", name="Reset…").click()
    dialog = page.get_by_role("dialog", name=f"Reset the breaker of {TESTER}?")
    dialog.wait_for()
    assert violations(page, axe) == []
    assert "will be closed" in dialog.inner_text()
    assert "stay as they are" in dialog.inner_text()
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert Store(own.home).read().agents[TESTER]["status"] == "blacklisted"


def test_an_order_is_recorded_once_it_is_confirmed(own: Served, opened: Callable[..., "Page"]) -> None:
    page = opened(f"{own.address}/agent?agent={quote(TESTER)}")
    page.get_by_role("link", name="Reset…").click()
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("link", name="Reset…").click()
    page.get_by_role("button", name=f"Reset the breaker of {TESTER}").click()
    has_text(page, "#said", f"The breaker of {TESTER} is closed")
    has_text(page, "main .breaker", "healthy")
    assert Store(own.home).read().agents[TESTER]["status"] == "healthy"
    assert next(event.get("by") for event in Store(own.home).history(TESTER)) == "page"
    page.get_by_role("link", name="Force open…").click()
    page.get_by_role("textbox").fill("a <migration>")
    page.get_by_role("button", name=f"Force the breaker of {TESTER} open").click()
    has_text(page, "main .breaker", "forced open")
    has_text(page, "main", "forced open: a <migration>")


def test_the_page_goes_on_after_a_restart_and_an_older_question_changes_nothing(
    home: Home, opened: Callable[..., "Page"]
) -> None:
    fill(home, 6)
    with serving(home) as first:
        page = opened(f"{first.address}/agent?agent={quote(TESTER)}")
        page.get_by_role("link", name="Reset…").click()
        page.get_by_role("dialog").wait_for()
    has_text(page, "#live", "not live")
    with serving(home, first.address.rpartition(":")[2]):
        page.get_by_role("button", name="Reset the breaker").click()
        has_text(page, "#said", "Nothing was changed")
        has_text(page, "#live", "● live")
        assert Store(home).read().agents[TESTER]["status"] == "blacklisted"
        record(home, TESTER)
        has_text(page, ".tiles .n", "6")
        page.get_by_role("link", name="Reset…").click()
        page.get_by_role("button", name="Reset the breaker").click()
        has_text(page, "#said", "is closed")


def test_another_site_reads_and_changes_nothing(own: Served, opened: Callable[..., "Page"], tmp_path: Path) -> None:
    port = own.address.rpartition(":")[2]
    page = opened(f"http://rebound.example:{port}/", status=403)
    assert page.locator("body").inner_text().startswith("The page is not shown under the name rebound.example")
    (tmp_path / "index.html").write_text("<!doctype html><title>Another site</title>")
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as other:
        assert other.stdout
        there = re.search(r"port (\d+)", other.stdout.readline())
        assert there
        answers = opened(f"http://evil.example:{there[1]}/").evaluate(
            """async (address) => {
                const body = new URLSearchParams({ agent: "core/tester.md", order: "reset", token: "" });
                const asked = [fetch(address), fetch(address + "order", { method: "POST", body, mode: "no-cors" })];
                return (await Promise.allSettled(asked)).map(({ status, value }) => status + (value ? value.type : ""));
            }""",
            f"http://localhost:{port}/",
        )
        other.terminate()
    assert answers[0] == "rejected"
    assert Store(own.home).read().agents[TESTER]["status"] == "blacklisted"


HOSTILE = "<img src=x onerror=window.broken=1>\"'`{{7*7}}.md"


def test_hostile_names_and_errors_are_text(home: Home, opened: Callable[..., "Page"]) -> None:
    known = {"conversation_id": HOSTILE, "model": HOSTILE, "models": {HOSTILE: {"input": 5}}, "project": HOSTILE}
    Store(home).record(
        [ended("h", HOSTILE, names.FAILURE, 10, error=ERROR, **known), ended("שלום", "עברית.md", names.SUCCESS, 5)]
    )
    agent, session = quote(HOSTILE), quote(HOSTILE)
    with serving(home) as served:
        for path in ("/", f"/?filter={agent}", f"/agent?agent={agent}", "/sessions", f"/session?id={session}&run=h",
                     "/run?id=h", f"/order?agent={agent}&order=open"):  # fmt: skip
            page = opened(f"{served.address}{path}")
            assert page.evaluate("window.broken") is None
            assert page.locator("main img, main script").count() == 0
        assert HOSTILE in opened(f"{served.address}/").locator(".list tbody").inner_text()
        assert "\\u202egnp" in opened(f"{served.address}/run?id=h").locator("main").inner_text()


def test_the_session_is_a_tree_through_which_arrow_keys_step(fleet: Served, opened: Callable[..., "Page"]) -> None:
    page = opened(f"{fleet.address}/session?id={SESSION}")
    rows = page.locator(".tree tbody tr")
    assert [text.split()[-1] for text in rows.locator("th").all_inner_texts()] == [
        "main",
        CODER,
        "Explore",
        CODER,
        CODER,
    ]
    page.locator("a.step").first.click()
    has_text(page, "aside", "success")
    page.keyboard.press("ArrowDown")
    has_text(page, "aside", "exit status 1")
    assert "run=inner" in page.url
    page.keyboard.press("ArrowUp")
    has_text(page, "aside h2", "success")
    ticks(page, ".tree [data-since]")
    page.get_by_role("link", name="Close").click()
    page.locator("aside").wait_for(state="detached")


def test_the_page_is_light_and_asks_nobody_else(fleet: Served, opened: Callable[..., "Page"]) -> None:
    page = opened(f"{fleet.address}/")
    asked: dict[str, int] = page.evaluate(
        """() => Object.fromEntries(
            [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
                .map(({ name, decodedBodySize }) => [name, decodedBodySize])
        )"""
    )
    assert {f"{fleet.address}/", f"{fleet.address}/page.js", f"{fleet.address}/page.css"} <= asked.keys()
    assert sum(asked.values()) < MOST_BYTES
    assert all(url.startswith(fleet.address) for url in asked)


def test_without_javascript_links_and_forms_do_it(own: Served, opened: Callable[..., "Page"]) -> None:
    page = opened(f"{own.address}/", java_script_enabled=False)
    page.locator(SEARCH).fill("coder")
    page.keyboard.press("Enter")
    has_rows(page, 1)
    page.get_by_role("link", name=CODER).click()
    page.get_by_role("link", name="Disable…").click()
    page.get_by_role("button", name="Disable the breaker").click()
    assert "is disabled" in page.locator(".answer").inner_text()
    override = Store(own.home).read().agents[CODER]["circuit"]["override"]
    assert override["kind"] == names.DISABLED


def test_an_empty_home_says_what_would_fill_it(home: Home, opened: Callable[..., "Page"]) -> None:
    with serving(home) as served:
        page = opened(f"{served.address}/")
        assert "otel-tracker claude-code install" in page.locator("main").inner_text()
        record(home)
        page.locator(f"tr[data-key='{CODER}']").wait_for()


def test_a_thousand_agents_are_usable(home: Home, opened: Callable[..., "Page"]) -> None:
    fill(home, 1000)
    with serving(home) as served:
        page = opened(f"{served.address}/")
        assert page.locator(ROWS).count() == 100
        page.locator(SEARCH).fill("expert_77")
        has_rows(page, 10)
        page.locator(SEARCH).fill("")
        page.get_by_role("link", name="Show all").click()
        has_rows(page, 999)
        assert figure(page, "Runs") == "2,996"
        record(home)
        has_text(page, ".tiles .n", "2,997")


def test_nothing_moves_for_those_who_want_that(own: Served, opened: Callable[..., "Page"]) -> None:
    page = opened(f"{own.address}/", reduced_motion="reduce")
    page.evaluate("document.querySelector('.tiles .n').classList.add('changed')")
    assert page.evaluate("getComputedStyle(document.querySelector('.changed')).animationName") == "none"


def test_the_report_opens_as_a_file(own: Served, opened: Callable[..., "Page"], tmp_path: Path, axe: str) -> None:
    file = tmp_path / "report.html"
    command = [
        sys.executable,
        "-m",
        "otel_tracker",
        "report",
        "--home",
        own.home.folder,
        "--format",
        "html",
        "-o",
        str(file),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    page = opened(f"file://{file}", viewport={"width": 360, "height": 800}, bypass_csp=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert violations(page, axe) == []
    page.set_viewport_size({"width": 1280, "height": 900})
    page.locator(".list").get_by_role("link", name=TESTER).click()
    assert page.url.endswith("#agent-0")
    assert page.locator("#agent-0 .breaker").first.inner_text().startswith("blacklisted")
    assert IDLE in page.locator("#idle").inner_html()
