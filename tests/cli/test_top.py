"""`otel-tracker top`, as a person sees it and its keys change it; and the terminal that it leaves behind."""

import asyncio
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from otel_tracker import names
from otel_tracker.cli.top.app import Top
from otel_tracker.runtime.printable import columns
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.state import event
from otel_tracker.state.document import Document
from otel_tracker.state.shapes import Event
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests import waiting
from tests.places import REAL_DOCUMENT
from tests.shown import Run

EXPERT, CODER, WRITER = "experts/db.md", "core/coder.md", "core/writer.md"
HOSTILE = "evil/[red]x[/red] \x1b[31m名前.md"
DAY = 86_400.0


def ended(agent: str, outcome: str = names.SUCCESS, ago: float = 60.0, seconds: float = 42.0, **known: Any) -> Event:
    known = {"model": "opus", "run_id": f"{agent} {ago}", **known}
    moment = time.time() - ago
    return event.task_ended(
        agent, outcome, moment, started=format_timestamp(moment - seconds), duration_seconds=seconds, **known
    )


def used(tokens: int, dollars: float) -> "dict[str, Any]":
    use = {"output": tokens, names.COST: round(dollars * 1e6), names.PRICED: tokens}
    return {"tokens": use, "models": {"claude-opus-5-5": use}}


@pytest.fixture
def store(home: Home) -> Store:
    """The store of a home with a blacklisted expert, a coder that costs, a writer whose last run is old, and a running task."""
    store = Store(home)
    events = [ended(EXPERT, names.FAILURE, ago, error="database is [red]locked[/red]") for ago in (50, 40, 30, 20, 10)]
    events += [ended(CODER, ago=ago, **used(1000, 1.25)) for ago in (9000, 5000)]
    events += [ended(WRITER, ago=3 * DAY, seconds=7.0, **used(200, 0.5))]
    events += [ended(HOSTILE, names.FAILURE, 300, error="[bold]no[/bold]\x1b[2J")]
    running = event.task_started(CODER, time.time() - 65, run_id="running", model="sonnet", task_id="t1", owner=None)
    store.record([*sorted(events, key=lambda one: str(one["timestamp"])), running])
    return store


class Screen:
    """What a person sees, and the keys that are pressed."""

    def __init__(self, app: Top, pilot: Pilot[int]) -> None:
        self.app, self.pilot = app, pilot

    @property
    def lines(self) -> list[str]:
        """The lines of the screen."""
        strips = self.app.screen._compositor.render_strips(self.app.size)
        return ["".join(segment.text for segment in strip).rstrip() for strip in strips]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def agents(self) -> list[str]:
        """The agents in the order of the table."""
        return [key for line in self._table() for key in [line[2:].split("  ")[0]] if key and line[:2] in ("▸ ", "  ")]

    def _table(self) -> list[str]:
        first = next(index for index, line in enumerate(self.lines) if re.match(r"  agent▾?▴? ", line))
        return self.lines[first + 1 : -1]

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def until(self, is_so: "Callable[[Screen], object]") -> None:
        """Wait until something is so on the screen."""
        last = time.monotonic() + waiting.BOUND
        while not is_so(self):
            assert time.monotonic() < last, self.text
            await self.pilot.pause(0.05)

    async def until_shown(self, *texts: str) -> None:
        await self.until(lambda screen: all(text in screen.text for text in texts))


@asynccontextmanager
async def shown(store: Store, width: int = 80, height: int = 24) -> AsyncIterator[Screen]:
    app = Top(store)
    async with app.run_test(size=(width, height)) as pilot:
        screen = Screen(app, pilot)
        await screen.until(lambda screen: "●" in screen.lines[0])
        yield screen


def on_screen(story: Callable[[Screen], Coroutine[Any, Any, None]], store: Store, *size: int) -> None:
    async def play() -> None:
        async with shown(store, *size) as screen:
            await story(screen)

    asyncio.run(play())


def test_trouble_comes_first_then_what_runs_and_what_it_costs(store: Store) -> None:
    async def story(screen: Screen) -> None:
        await screen.until_shown("Agents 4")
        assert re.search(rf"✕  {EXPERT}  blacklisted for 9m \d\ds more: 5 failures in a row", screen.lines[1])
        assert re.search(r"core/coder.md +1 m \d+ s +–  sonnet +t1$", screen.text, re.MULTILINE)
        assert [agent[:4] for agent in screen.agents] == ["expe", "evil", "core", "core"]
        line = next(line for line in screen.lines if EXPERT in line and "blacklisted 9 m" in line)
        assert re.search(r"✕✕✕✕✕ +blacklisted 9 m \d+ s +0 % +–$", line)
        assert re.search(r"core/coder.md +●●○ +healthy +100 % +\$2.50$", screen.text, re.MULTILINE)

    on_screen(story, store)


@pytest.mark.parametrize("size", [(80, 24), (200, 50), (40, 12)])
def test_nothing_is_wider_than_the_terminal(store: Store, size: tuple[int, int]) -> None:
    async def story(screen: Screen) -> None:
        await screen.until_shown("Running 1")
        assert len(screen.lines) == size[1]
        assert max(map(columns, screen.lines)) <= size[0]
        assert ("p95" in screen.text) == (size[0] == 200)
        await screen.press("enter")
        await screen.until_shown("Runs")
        assert max(map(columns, screen.lines)) <= size[0]

    on_screen(story, store, *size)


def test_what_is_recorded_appears_by_itself(store: Store) -> None:
    async def story(screen: Screen) -> None:
        await screen.until_shown("Agents 4")
        Store(store.home).record([ended("core/new.md", ago=1)])
        await screen.until_shown("Agents 5", "core/new.md")
        Store(store.home).record([ended(CODER, names.LOST, 0.5, run_id="running")])
        await screen.until(lambda screen: "Running 1" not in screen.text)

    on_screen(story, store)


def test_elapsed_times_and_cooldowns_tick_without_any_event(store: Store) -> None:
    async def story(screen: Screen) -> None:
        await screen.until_shown("Running 1", "blacklisted 9 m")
        before = [re.findall(r"(?:core/coder.md|blacklisted) +([\d ms]+ s)", screen.text), screen.lines[0]]
        assert len(before[0]) == 2
        await screen.until(
            lambda screen: all(text not in screen.text for text in before[0]) and before[1] != screen.lines[0]
        )

    on_screen(story, store)


def test_keys_choose_the_window_of_all_figures(store: Store) -> None:
    async def story(screen: Screen) -> None:
        await screen.until_shown("[7 days]", "$3.00")
        await screen.press("1")
        await screen.until_shown("[Today]", "no run today")
        assert WRITER not in screen.agents
        await screen.press("3")
        await screen.until_shown("[30 days]", "$3.00")
        await screen.press("4")
        await screen.until_shown("[All]", "$3.00")
        assert WRITER in screen.agents

    on_screen(story, store)


def test_keys_sort_the_agents_and_turn_the_order_round(store: Store) -> None:
    async def story(screen: Screen) -> None:
        await screen.until_shown("breaker▾")
        await screen.press("s")
        await screen.until_shown("agent▾")
        by_name = screen.agents
        assert by_name == sorted(by_name)
        await screen.press("S")
        await screen.until_shown("agent▴")
        assert screen.agents == by_name[::-1]
        await screen.press(*"ssssss")
        await screen.until_shown("cost ≈▾")
        assert screen.agents[:2] == [CODER, WRITER]

    on_screen(story, store, 200, 50)


def test_a_click_on_a_heading_sorts_by_it(store: Store) -> None:
    async def story(screen: Screen) -> None:
        await screen.until_shown("breaker▾")
        row = next(index for index, line in enumerate(screen.lines) if "breaker▾" in line)
        place = screen.lines[row].index("success")
        await screen.pilot.click(offset=(place, row))
        await screen.until_shown("success▾")
        assert screen.agents[0] == HOSTILE.replace("\x1b", r"\u001b")  # it has failed always, as the expert has
        await screen.pilot.click(offset=(place, row))
        await screen.until_shown("success▴")

    on_screen(story, store, 200, 50)


def test_the_filter_leaves_the_agents_with_a_text_in_their_name(store: Store) -> None:
    async def story(screen: Screen) -> None:
        await screen.until_shown("Agents 4")
        await screen.press("slash", *"coder")
        await screen.until_shown("Agents 1  with coder")
        assert screen.agents == [CODER]
        await screen.press("enter", "1")
        await screen.until_shown("[Today]")
        await screen.press("slash", *"xyz")
        await screen.until_shown("no agent has xyz in its name")
        await screen.press("escape")
        await screen.until(lambda screen: "with" not in screen.text)

    on_screen(story, store)


def test_an_agent_opens_with_its_breaker_models_and_runs(store: Store) -> None:
    async def story(screen: Screen) -> None:
        await screen.until_shown("Agents 4")
        await screen.press("enter")
        await screen.until_shown("✕ failure", "Runs 5 in the last 7 days")
        assert EXPERT in screen.text
        assert "blacklisted 9 m" in screen.text
        assert "database is [red]locked[/red]" in screen.text
        await screen.press("escape")
        await screen.until_shown("Agents 4")
        await screen.press("slash", *"coder", "enter", "enter")
        await screen.until_shown("○ running", "● success", "claude-opus-5-5")
        assert re.search(r"claude-opus-5-5 +2.0 k +– +2.0 k +\$2.50", screen.text)
        assert re.search(r"● success .* 42 s +\$1.25", screen.text)
        assert re.search(r"○ running +now +1 m \d+ s +–", screen.text)
        await screen.press("1")
        await screen.until_shown("[Today]", "today")

    on_screen(story, store)


def test_a_reset_asks_first_and_is_recorded(store: Store) -> None:
    def resets() -> int:
        return [one["action"] for one in store.history(EXPERT)].count(names.AGENT_RESET)

    async def story(screen: Screen) -> None:
        await screen.until_shown("blacklisted 9 m")
        await screen.press("r")
        await screen.until_shown(f"Reset the breaker of {EXPERT}?", "5 failures in a row")
        await screen.press("n")
        await screen.until_shown("blacklisted 9 m")
        assert resets() == 0
        await screen.press("r")
        await screen.until_shown("Reset the breaker of")
        await screen.press("y")
        await screen.until_shown(f"{EXPERT}: healthy, 0 failures")
        await screen.until(lambda screen: "blacklisted 9 m" not in screen.text)
        assert resets() == 1

    on_screen(story, store)


def test_all_that_needs_attention_is_shown_in_full(store: Store) -> None:
    async def story(screen: Screen) -> None:
        await screen.until_shown("Agents 4")
        await screen.press("n")
        await screen.until_shown('"database is [red]locked[/red]"', "otel-tracker reset experts/db.md")
        await screen.press("escape")
        await screen.until_shown("Agents 4")

    on_screen(story, store)


def test_names_and_errors_are_text_only(store: Store) -> None:
    async def story(screen: Screen) -> None:
        await screen.until_shown("Agents 4")
        await screen.press("slash", *"evil", "enter", "enter")
        await screen.until_shown(r"[bold]no[/bold]\u001b[2J", r"evil/[red]x[/red] \u001b[31m名前.md")
        await screen.press("r")
        await screen.until_shown(r"Reset the breaker of evil/[red]x[/red] \u001b[31m名前.md?")
        await screen.press("y")
        await screen.until_shown(r"evil/[red]x[/red] \u001b[31m名前.md: healthy, 0 failures")

    on_screen(story, store, 120, 30)


def test_a_home_without_agents_says_what_to_do(home: Home) -> None:
    async def story(screen: Screen) -> None:
        await screen.until_shown("Nothing needs attention", "no agents yet; register those of the home with")

    on_screen(story, Store(home))


def test_agents_without_a_run_are_shown_when_there_are_no_others_or_a_key_asks_for_them(home: Home) -> None:
    os.makedirs(os.path.dirname(home.document))
    shutil.copy(REAL_DOCUMENT, home.document)
    store = Store(home)

    async def story(screen: Screen) -> None:
        await screen.until_shown("Agents 42")
        Store(home).record([ended("core/new.md", ago=1)])
        await screen.until_shown("Agents 1  42 other agents have no run")
        await screen.press("i")
        await screen.until_shown("Agents 43")
        await screen.press("end")
        await screen.until(lambda screen: screen.lines[-2].startswith("▸ "))

    on_screen(story, store)


class SlowStore(Store):
    """A store whose files take their time, as on a disk that hangs."""

    is_free: threading.Event

    def read(self, *, is_patient: bool = True) -> Document:
        self.is_free.wait()
        return super().read(is_patient=is_patient)


def test_keys_work_while_the_home_is_being_read(store: Store) -> None:
    slow = SlowStore(store.home)
    slow.is_free = threading.Event()
    slow.is_free.set()

    async def story(screen: Screen) -> None:
        await screen.until_shown("Agents 4")
        slow.is_free.clear()
        await screen.press("down", "slash", *"coder")
        await screen.until(lambda screen: "coder" in screen.lines[-2])
        assert "Agents 4" in screen.text
        slow.is_free.set()
        await screen.until_shown("Agents 1  with coder")

    try:
        on_screen(story, slow)
    finally:
        slow.is_free.set()


def test_a_home_that_cannot_be_read_is_a_line_and_no_end(store: Store) -> None:
    document = Path(store.home.document)
    content = document.read_bytes()

    async def story(screen: Screen) -> None:
        await screen.until_shown("Agents 4")
        await asyncio.to_thread(document.write_bytes, b'{"version": "99.0"}')
        await screen.until_shown("✕ cannot read", "99.0")
        await asyncio.to_thread(document.write_bytes, content)
        await screen.until_shown("Agents 4")
        await screen.until(lambda screen: "cannot read" not in screen.text)

    on_screen(story, store)


def test_a_thousand_agents_are_drawn_and_walked_through(home: Home) -> None:
    store = Store(home)
    store.record([ended(f"core/agent-{number:04}.md", ago=1000 - number / 2) for number in range(1000)])

    async def story(screen: Screen) -> None:
        await screen.until_shown("Agents 1,000")
        await screen.press("end")
        await screen.until(lambda screen: screen.lines[-2].startswith("▸ core/agent-0999.md"))
        await screen.press("enter")
        await screen.until_shown("Runs 1 in the last 7 days")

    on_screen(story, store)


# The terminal


@pytest.mark.processes
def test_without_textual_one_line_says_how_to_install_it(home: Home) -> None:
    code = f"import sys; sys.modules['textual'] = None; from otel_tracker.cli import main; sys.exit(main({['--home', home.folder, 'top']!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "otel-tracker: cannot show top: the library Textual is not installed; "
        'install it with: pip install ".[top]" in a clone of otel-tracker\n'
    )


def test_without_a_terminal_it_says_what_to_use_instead(home: Home, run: Run) -> None:
    status, out, err = run("top")
    assert (status, out) == (1, "")
    assert "is no terminal; see the same in lines with: otel-tracker status" in err


class Terminal:
    """A terminal with a command in it."""

    def __init__(self, *command: str, is_coloured: bool = False) -> None:
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 80))
        self.before = termios.tcgetattr(theirs)
        self._theirs, self.output = theirs, b""
        environment = {**os.environ, "TERM": "xterm-256color"}
        if is_coloured:
            del environment["NO_COLOR"]
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.set_blocking(self._ours, False)

    def read(self) -> bytes:
        with suppress(BlockingIOError):
            self.output += os.read(self._ours, 65_536)
        return self.output

    def until(self, text: bytes) -> None:
        waiting.until(lambda: text in self.read())

    def write(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def status(self) -> int:
        waiting.until(lambda: (self.read(), self.process.poll() is not None)[1])
        self.read()
        return self.process.returncode

    def is_as_before(self) -> bool:
        """Tell whether the settings are the former ones, and the screen and the cursor are those of the shell."""
        on, off = self.output.rfind(b"\x1b[?1049h"), self.output.rfind(b"\x1b[?1049l")
        return termios.tcgetattr(self._theirs) == self.before and 0 <= on < off < self.output.rfind(b"\x1b[?25h")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)


@pytest.mark.processes
@pytest.mark.parametrize(
    ("ending", "status"), [("q", 0), ("Ctrl-C", 130), ("SIGTERM", 143), ("SIGINT", 130), ("a crash", 1)]
)
def test_the_terminal_is_as_it_was(store: Store, ending: str, status: int) -> None:
    crash = (
        "import sys; from otel_tracker.cli.top import app; from otel_tracker.storage import home, store;"
        "app.Top.action_quit = lambda self: 1 / 0; sys.exit(app.run(store.Store(home.Home(sys.argv[1]))))"
    )
    top = ["-m", "otel_tracker", "--home", store.home.folder, "top"]
    terminal = Terminal(sys.executable, *(["-c", crash, store.home.folder] if ending == "a crash" else top))
    try:
        terminal.until(EXPERT.encode())
        if ending.startswith("SIG"):
            terminal.process.send_signal(getattr(signal, ending))
        else:
            terminal.write({"Ctrl-C": b"\x03"}.get(ending, b"q"))
        assert terminal.status() == status
        assert terminal.is_as_before()
        assert b"\x1b[31m" not in terminal.output  # NO_COLOR is set
        assert (b"ZeroDivisionError" in terminal.output) == (ending == "a crash")
    finally:
        terminal.close()


@pytest.mark.processes
def test_without_no_color_what_is_broken_is_red_in_the_terminals_own_colours(store: Store) -> None:
    terminal = Terminal(sys.executable, "-m", "otel_tracker", "--home", store.home.folder, "top", is_coloured=True)
    try:
        terminal.until(b"blacklisted 9 m")
        terminal.write(b"q")
        assert terminal.status() == 0
        assert re.search(rb"\x1b\[1;31m[^\x1b]*blacklisted 9 m", terminal.output)
        assert b"\x1b[38;2;" not in terminal.output
    finally:
        terminal.close()
