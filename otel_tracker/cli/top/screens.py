"""The screens of `otel-tracker top`: the fleet, an agent, all that needs attention, and the question before a reset."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen, Screen
from textual.widgets import Footer, Input, Static

from otel_tracker.cli.top.watcher import Unreadable, View
from otel_tracker.cli.top.widgets import Lines, Paragraphs, Rows
from otel_tracker.reporting.page.query import WINDOWS
from otel_tracker.reporting.top import lines, tables
from otel_tracker.reporting.top.columns import FAINT, Line, Piece, cut, text
from otel_tracker.runtime.printable import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.cli.top.app import Top

SORTS = ("trouble", "agent", "runs", "success", "median", "p95", "tokens", "cost", "last")
"""The orders that `s` goes through, keys of the page's COLUMNS."""


_HIGH = 30
"""The lines from which on there is room for more than the figures themselves."""

_RUN_LINES = 4


class Watching(Screen[None]):
    """A screen that shows what the watcher has seen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(number), f"app.window('{key}')", "window", key_display=f"1-{len(WINDOWS)}", show=number == 1)
            for number, key in enumerate(WINDOWS, 1)
        ),
    ]

    @property
    def top(self) -> "Top":
        """The application."""
        return self.app  # type: ignore[return-value]  # no other one has these screens

    def on_screen_resume(self) -> None:
        """Show what was seen while another screen was before this one."""
        self.look()

    def on_resize(self) -> None:
        """Fit everything into the new size."""
        self.look()

    def look(self) -> None:
        """Show what the watcher saw last, once it has seen anything."""
        if not self.query("#head"):  # it is not composed yet
            return
        seen, width = self.top.seen, self.size.width
        self.query_one("#said", Lines).show(self.top.said)
        if isinstance(seen, Unreadable):
            self.query_one("#head", Lines).show([self.head(), *lines.fault(seen.sentence, width)])
            return
        self.query_one("#head", Lines).show([self.head(), ()] if self.size.height >= _HIGH else [self.head()])
        if seen is not None:
            self.show(seen)

    def head(self) -> Line:
        """Return the first line."""
        return lines.head(self.top.chosen, self.top.place, self.top.pulse, self.size.width)

    def show(self, view: View) -> None:
        """Show what the watcher has seen."""
        raise NotImplementedError


class FleetScreen(Watching):
    """What needs attention, what runs, and all agents."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open", key_display="⏎"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("s", "sort(1)", "sort"),
        Binding("S", "turn", "reverse"),
        Binding("r", "reset", "reset"),
        Binding("n", "attention", "attention"),
        Binding("i", "idle", "idle"),
        Binding("escape", "forget_filter", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._shows_idle = False

    def compose(self) -> ComposeResult:
        """Make the parts of the screen."""
        yield Lines(id="head")
        yield Lines(id="attention")
        yield Lines(id="tiles")
        yield Rows(lambda task: task["agent"], id="running")
        yield Lines(id="agents-title")
        yield Rows(tables.key_of, id="agents")
        yield Input(
            id="filter", placeholder="a part of an agent's name; ⏎ keeps the filter, Esc removes it", compact=True
        )
        yield Lines(id="said")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Begin at the agents."""
        self.query_one("#filter").display = False
        self.query_one("#agents").focus()

    def show(self, view: View) -> None:
        """Show the fleet."""
        width, height = self.size.width, self.size.height
        most = max(2, height // 7)
        self.query_one("#attention", Lines).show([*lines.attention_strip(view.attention, width, most), ()])
        tiles = lines.tiles(view.fleet.tiles, width)
        self.query_one("#tiles", Lines).show([*(tiles if height >= _HIGH else tiles[:2]), ()])
        self._show_running(view, most)
        self._show_agents(view, width)

    def _show_running(self, view: View, most: int) -> None:
        table = self.query_one("#running", Rows)
        table.display = bool(view.running)
        table.styles.height = min(len(view.running), most) + 1
        table.show(tables.running_columns(view.running), view.running)

    def _show_agents(self, view: View, width: int) -> None:
        shows_idle = self._shows_idle or bool(view.query.filter) or not view.fleet.agents
        title = lines.agents_title(view.fleet, view.query, shows_idle=shows_idle)
        self.query_one("#agents-title", Lines).show([(), title] if self.size.height >= _HIGH else [title])
        table = self.query_one("#agents", Rows)
        sought = f"no agent has {printable(view.query.filter)} in its name"
        table.empty = [sought] if view.query.filter else self.top.without_agents
        rows = tables.agent_rows(view.fleet, shows_idle=shows_idle)
        table.show(tables.agent_columns(rows, width, view.now), rows, view.query.sort)

    def _agent(self) -> str | None:
        """Return the agent at the cursor."""
        focused = self.focused
        return (focused if isinstance(focused, Rows) else self.query_one("#agents", Rows)).chosen

    def action_open(self) -> None:
        """Open the agent at the cursor."""
        agent = self._agent()
        if agent is not None:
            self.top.open_agent(agent)

    def on_rows_opened(self) -> None:
        """Open the agent at the cursor."""
        self.action_open()

    def on_rows_sorted(self, message: Rows.Sorted) -> None:
        """Sort the agents by a column; turn the order round if they are."""
        if self.top.chosen.sort == message.sort:
            self.action_turn()
        else:
            self.top.choose(sort=message.sort)

    def action_sort(self, by: int) -> None:
        """Sort the agents by the next column."""
        place = SORTS.index(self.top.chosen.sort.removeprefix("-"))
        self.top.choose(sort=SORTS[(place + by) % len(SORTS)])

    def action_turn(self) -> None:
        """Turn the order of the agents round."""
        sort = self.top.chosen.sort
        self.top.choose(sort=sort[1:] if sort.startswith("-") else f"-{sort}")

    def action_idle(self) -> None:
        """Show the idle agents, or hide them."""
        self._shows_idle = not self._shows_idle
        self.look()

    def action_reset(self) -> None:
        """Ask whether the breaker of the agent at the cursor is to be reset."""
        agent = self._agent()
        if agent is not None:
            self.top.ask_reset(agent)

    def action_attention(self) -> None:
        """Show all that needs attention."""
        self.app.push_screen(AttentionScreen())

    def action_filter(self) -> None:
        """Let a person write a filter."""
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    def action_forget_filter(self) -> None:
        """Show all agents."""
        self.query_one("#filter", Input).value = ""
        self._leave_filter()

    def on_input_changed(self, message: Input.Changed) -> None:
        """Filter while a person writes."""
        self.top.choose(filter=message.value.strip())

    def on_input_submitted(self) -> None:
        """Go on with the agents that the filter has left."""
        self._leave_filter()

    def _leave_filter(self) -> None:
        self.query_one("#filter").display = False
        self.query_one("#agents").focus()


class AgentScreen(Watching):
    """An agent: its breaker, figures, tokens by model, and last runs."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "back", key_display="Esc"),
        Binding("r", "reset", "reset"),
    ]

    def __init__(self, agent: str) -> None:
        super().__init__()
        self._agent = agent

    def compose(self) -> ComposeResult:
        """Make the parts of the screen."""
        yield Lines(id="head")
        yield Lines(id="agent")
        yield Lines(id="tiles")
        yield Rows(lambda row: row["model"], id="models")
        yield Lines(id="runs-title")
        yield Rows(lambda run: run.run_id, id="runs")
        yield Lines(id="run")
        yield Lines(id="said")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Begin at the runs."""
        self.query_one("#agent", Lines).show([text(cut(printable(self._agent), self.size.width))])
        self.query_one("#runs").focus()

    def show(self, view: View) -> None:
        """Show the agent, once the watcher has looked at it."""
        if view.agent is None or view.agent.agent.agent != self._agent:
            return
        agent, models = view.agent
        of, width = view.query.in_words(), self.size.width
        self.query_one("#agent", Lines).show([*lines.agent_lines(agent, width), ()])
        self.query_one("#tiles", Lines).show([*lines.tiles(agent.tiles, width), ()])
        table = self.query_one("#models", Rows)
        table.display = bool(models)
        table.styles.height = min(len(models), max(2, self.size.height // 6)) + 2
        table.show(tables.model_columns(of), models)
        runs = [*agent.running, *agent.ended]
        shown = f" {agent.found + len(agent.running):,} {of}"
        newest = f", the newest {len(agent.ended):,}" if agent.found > len(agent.ended) else ""
        self.query_one("#runs-title", Lines).show([(Piece("Runs", "strong"), Piece(f"{shown}{newest}", FAINT))])
        runs_table = self.query_one("#runs", Rows)
        runs_table.empty = [f"no run of it has ended {of}"]
        runs_table.show(tables.run_columns(view.now), runs)

    def on_rows_moved(self) -> None:
        """Show the run at the cursor in full."""
        table = self.query_one("#runs", Rows)
        shown = lines.run_lines(table.rows[table.cursor], self.size.width) if table.rows else []
        self.query_one("#run", Lines).show(shown[:_RUN_LINES])

    def action_back(self) -> None:
        """Go back to the fleet."""
        self.top.close_agent()

    def action_reset(self) -> None:
        """Ask whether its breaker is to be reset."""
        self.top.ask_reset(self._agent)


class AttentionScreen(Watching):
    """All that needs attention, in full."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,n", "app.pop_screen", "back", key_display="Esc")]

    def compose(self) -> ComposeResult:
        """Make the parts of the screen."""
        yield Lines(id="head")
        yield Paragraphs(id="paragraphs")
        yield Lines(id="said")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Let the keys scroll."""
        self.query_one("#paragraphs").focus()

    def show(self, view: View) -> None:
        """Show what needs attention."""
        paragraphs = lines.attention_in_full(view.attention, max(20, self.size.width - 2))
        self.query_one("#paragraphs", Paragraphs).show(paragraphs)


class Question(ModalScreen[bool]):
    """A question that `y` answers with yes, and everything else with no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "dismiss(True)", "yes, reset it"),
        Binding("n,escape", "dismiss(False)", "no", key_display="n"),
    ]

    def __init__(self, said: "list[str]") -> None:
        super().__init__()
        self._said = said

    def compose(self) -> ComposeResult:
        """Make the box."""
        with Vertical(id="question"):
            for line in self._said:
                yield Static(line, markup=False)
            yield Static("y  reset it      n  leave it as it is", markup=False, id="answers")
