"""The application of `otel-tracker top`: what a person has chosen, what the watcher has seen, and the screens."""

import asyncio
import signal
import time
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import App
from textual.binding import Binding, BindingType
from textual.message import Message

from otel_tracker.cli.breaker import reset_breaker
from otel_tracker.cli.top.screens import AgentScreen, FleetScreen, Question, Watching
from otel_tracker.cli.top.watcher import Unreadable, View, Watcher
from otel_tracker.errors import OtelTrackerError, command
from otel_tracker.reporting import summary
from otel_tracker.reporting.page.faces import breaker_of
from otel_tracker.reporting.page.figures import clock as clock_text
from otel_tracker.reporting.page.query import Query
from otel_tracker.reporting.top import lines
from otel_tracker.reporting.top.columns import BROKEN, FAINT, STRONG, Line, Piece, text
from otel_tracker.runtime.printable import printable
from otel_tracker.tracking.metric_tracker import MetricTracker

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tracker.storage.store import Store

_EXIT_OF_SIGNAL = 128  # and its number


def run(store: "Store") -> int:
    """Show a home until a key or a signal ends it, and return the exit status; the terminal is then as it was."""
    app = Top(store)

    async def until_ended() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, app.exit, _EXIT_OF_SIGNAL + number)
        await app.run_async()

    asyncio.run(until_ended())
    return app.return_value if app.return_value is not None else app.return_code or 0


class Top(App[int]):
    """The fleet, live."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("ctrl+q", "quit", show=False),
        Binding("ctrl+c", f"end({_EXIT_OF_SIGNAL + signal.SIGINT})", show=False, priority=True),
        Binding("ctrl+z", "suspend_process", show=False, priority=True),
    ]
    CSS = """
    Screen { background: ansi_default; color: ansi_default; scrollbar-size-vertical: 1; }
    Lines { height: 0; }
    Rows, Paragraphs { height: 1fr; background: ansi_default; overflow-x: hidden; scrollbar-size: 0 1; }
    Rows, Paragraphs {
        scrollbar-background: ansi_default; scrollbar-background-hover: ansi_default; scrollbar-background-active: ansi_default;
        scrollbar-color: ansi_blue; scrollbar-color-hover: ansi_blue; scrollbar-color-active: ansi_blue;
    }
    #running, #models { height: auto; }
    Footer, FooterKey, FooterKey > .footer-key--key, FooterKey > .footer-key--description {
        background: ansi_default; color: ansi_default;
    }
    FooterKey > .footer-key--key { text-style: bold; }
    Input { background: ansi_default; color: ansi_default; }
    Question { align: center middle; background: ansi_default; }
    #question { width: 72; max-width: 100%; height: auto; border: round ansi_default; padding: 1 2; }
    #question Static { margin-bottom: 1; }
    #answers { text-style: bold; }
    """

    class Seen(Message):
        """What the watcher has seen."""

        def __init__(self, seen: "View | Unreadable | float") -> None:
            super().__init__()
            self.seen = seen

    def __init__(self, store: "Store", clock: "Callable[[], float]" = time.time) -> None:
        super().__init__(ansi_color=True)  # the terminal's own colours
        self.theme = "ansi-dark"
        self._store = store
        self.chosen = Query(rows="all")
        self.seen: View | Unreadable | None = None
        self.pulse = Piece("○ reading", FAINT)
        self.said: list[Line] = []
        """The answer to what a person has done last."""
        self._watcher = Watcher(store, lambda seen: self.post_message(self.Seen(seen)), clock)
        self.place = printable(store.home.folder)
        init = printable(command("init", home=store.home.option))
        self.without_agents = ["no agents yet; register those of the home with:", f"  {init}"]

    def on_mount(self) -> None:
        """Begin to watch."""
        self.push_screen(FleetScreen())
        self._watcher.start()

    def on_unmount(self) -> None:
        """Watch no more."""
        self._watcher.stop()

    def on_top_seen(self, message: Seen) -> None:
        """Show what the watcher has seen."""
        if isinstance(message.seen, Unreadable):
            self.seen, self.pulse = message.seen, Piece("✕ cannot read", BROKEN)
        else:
            now = message.seen if isinstance(message.seen, float) else message.seen.now
            self.pulse = Piece(f"● {clock_text(now, None)[-8:]}", FAINT)
            if isinstance(message.seen, View):
                self.seen = message.seen
        self._look()

    def _look(self) -> None:
        if isinstance(self.screen, Watching):
            self.screen.look()

    def say(self, sentence: str, level: str = STRONG) -> None:
        """Show a sentence until a person does something else."""
        self.said = [text(sentence, level)] if sentence else []
        self._look()

    def choose(self, **changes: str) -> None:
        """Look at the home with some choices changed."""
        self.say("")
        self.chosen = self.chosen._replace(**changes)
        self._watcher.ask(self.chosen)

    def action_window(self, window: str) -> None:
        """Choose a window of time."""
        self.choose(window=window)

    def action_end(self, status: int) -> None:
        """End with an exit status."""
        self.exit(status)

    def open_agent(self, agent: str) -> None:
        """Show one agent."""
        self.choose(agent=agent)
        self.push_screen(AgentScreen(agent))

    def close_agent(self) -> None:
        """Show the fleet again."""
        self.choose(agent="")
        self.pop_screen()

    def ask_reset(self, agent: str) -> None:
        """Reset the breaker of an agent if a person says so."""
        if not isinstance(self.seen, View):
            return
        if agent not in self.seen.document.agents:
            self.say(f"{agent} is no agent of this home any more, and has no breaker")
            return
        row = summary.agent_state(self.seen.document, agent, self.seen.now)
        said = lines.question(agent, breaker_of(row, self.seen.now), row["override"], self._store.home.option)

        def answered(is_wanted: bool | None) -> None:
            if is_wanted:
                self._reset(agent)

        self.say("")
        self.push_screen(Question(said), answered)

    @work(thread=True)
    def _reset(self, agent: str) -> None:
        home = self._store.home
        try:
            answer = reset_breaker(MetricTracker(home.config_file), agent, home.option), STRONG
        except OtelTrackerError as error:
            answer = str(error), BROKEN
        self._watcher.ask(self.chosen)
        self.call_from_thread(self.say, *answer)
