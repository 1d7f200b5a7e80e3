"""The lines of `otel-tracker top` around its tables: windows, tiles, what needs attention, an agent's breaker, the question. Pure."""

import textwrap

from otel_tracker.errors import command
from otel_tracker.reporting import wording
from otel_tracker.reporting.attention import CRITICAL, INFO, WARNING
from otel_tracker.reporting.page.query import WINDOWS
from otel_tracker.reporting.top.columns import (
    BROKEN,
    CHOSEN,
    FAINT,
    GAP,
    LOOK,
    STRONG,
    Line,
    Piece,
    cut,
    text,
    width_of,
)
from otel_tracker.runtime.printable import columns, fitted, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_tracker.reporting.attention import Attention
    from otel_tracker.reporting.page.agent import AgentView
    from otel_tracker.reporting.page.faces import Breaker
    from otel_tracker.reporting.page.fleet import Fleet, Tile
    from otel_tracker.reporting.page.query import Query
    from otel_tracker.reporting.page.runs import ShownRun
    from otel_tracker.state.shapes import Row

BREAKERS = {"ok": FAINT, "look": LOOK, "broken": BROKEN}
"""The level of a breaker's text, by that of the page."""
_SEVERITIES = {CRITICAL: ("✕", BROKEN), WARNING: ("!", LOOK), INFO: ("i", FAINT)}
_INDENT = 4
_LEAST_PLACE = 12


def head(query: "Query", place: str, state: Piece, width: int) -> Line:
    """Return the first line: the windows, the home, and when it was read."""
    chosen = [Piece(f"[{title}] ", CHOSEN) for key, (title, _) in WINDOWS.items() if key == query.window]
    begin = [Piece("otel-tracker  ", STRONG)]
    for key, (title, _) in WINDOWS.items():
        begin += chosen if key == query.window else [Piece(f" {title}  ", FAINT)]
    left = width - width_of(tuple(begin)) - columns(state.text) - 2 * GAP
    if left < 0:
        begin, left = chosen, width - width_of(tuple(chosen)) - columns(state.text) - 2 * GAP
    shown = fitted(printable(place), left) if left >= _LEAST_PLACE else ""
    space = " " * (left - columns(shown) + GAP)
    return (*begin, Piece(" " * GAP), Piece(shown, FAINT), Piece(space), state)


def fault(sentence: str, width: int) -> "list[Line]":
    """Return why there is nothing new to show, in as many lines as it takes."""
    return [(space, line._replace(level=BROKEN)) for space, line in _wrapped(sentence, width)]


def tiles(of: "Sequence[Tile]", width: int) -> "list[Line]":
    """Return as many tiles as fit side by side: the names, the figures, and how these have changed."""
    lines: list[list[Piece]] = [[], [], []]
    used = 0
    for tile in of:
        texts = (tile.name, tile.figure.text, tile.change)
        room = max(map(columns, texts)) + GAP
        if used + room - GAP > width:
            break
        used += room
        levels = (FAINT, BROKEN if tile.level == "broken" else STRONG, FAINT)
        for line, shown, level in zip(lines, texts, levels, strict=True):
            line += [Piece(shown, level), Piece(" " * (room - columns(shown)))]
    return [tuple(line) for line in lines]


def attention_strip(items: "Sequence[Attention]", width: int, most: int) -> "list[Line]":
    """Return at most so many lines on what needs attention, one for each thing, with what helps where there is room."""
    if not items:
        return [text("Nothing needs attention.", FAINT)]
    shown = items if len(items) <= most else items[: max(1, most - 1)]
    lines = [_attention_line(item, width) for item in shown]
    if len(items) > len(shown):
        lines.append(text(f"    and {len(items) - len(shown):,} more (n: show)", FAINT))
    return lines


def _attention_line(item: "Attention", width: int) -> Line:
    mark, level = _SEVERITIES[item.severity]
    agent = "" if item.agent is None else f"{printable(item.agent)}  "
    begin = (Piece(f" {mark}  ", level), Piece(agent, STRONG))
    said, remedy = printable(item.text), printable(item.remedy or "")
    left = width - width_of(begin)
    if remedy and columns(said) + _INDENT + columns(remedy) <= left:
        return (*begin, Piece(said), Piece(f"{' ' * _INDENT}{remedy}", FAINT))
    return (*begin, Piece(cut(said, left)))


def attention_in_full(items: "Sequence[Attention]", width: int) -> "list[Line]":
    """Return all that needs attention, in as many lines as it takes, each thing with what helps."""
    lines: list[Line] = []
    for item in items:
        mark, level = _SEVERITIES[item.severity]
        said = item.text if item.agent is None else f"{item.agent}: {item.text}"
        first, *others = _wrapped(said, width)
        lines += [(Piece(f" {mark}  ", level), first[1]), *others]
        lines += [(space, line._replace(level=FAINT)) for space, line in _wrapped(item.remedy or "", width)]
        lines.append(())
    return lines or [text("Nothing needs attention.", FAINT)]


def _wrapped(of: str, width: int) -> "list[tuple[Piece, Piece]]":
    """Return a text in lines of a width, which begin with space."""
    lines = textwrap.wrap(printable(of), max(1, width - _INDENT), break_on_hyphens=False)
    return [(Piece(" " * _INDENT), Piece(line)) for line in lines]


def agents_title(fleet: "Fleet", query: "Query", *, shows_idle: bool) -> Line:
    """Return the title of the agents' table."""
    idle = len(fleet.idle)
    pieces = [Piece("Agents", STRONG), Piece(f" {fleet.found + (idle if shows_idle else 0):,}")]
    if query.filter:
        pieces.append(Piece(f"  with {printable(query.filter)}", CHOSEN))
    if idle and not shows_idle:
        hidden = wording.counted(idle, "other agent has", "other agents have")
        pieces.append(Piece(f"  {hidden} no run {query.in_words()} (i: show)", FAINT))
    return tuple(pieces)


def agent_lines(agent: "AgentView", width: int) -> "list[Line]":
    """Return an agent's name, its breaker and what its breaker does next, and its last outcomes."""
    name = "" if agent.name == agent.agent else f"  {printable(agent.name)}"
    face = tuple(Piece(marks.text, marks.outcome) for marks in agent.face.marks)
    return [
        (Piece(fitted(printable(agent.agent), width), STRONG), Piece(name, FAINT)),
        (*breaker(agent.breaker), Piece(f"  {agent.breaker.tip}.", FAINT)),
        (Piece(agent.next_cooldown, FAINT),),
        (*face, Piece(f"  {agent.face.tip}", FAINT)),
    ]


def run_lines(run: "ShownRun", width: int) -> "list[Line]":
    """Return what a run's row has no room for: its error in full, its model and its id."""
    known = "  ".join(filter(None, (run.model, run.run_id)))
    return [*_wrapped(run.why, width), (Piece(" " * _INDENT), Piece(printable(known), FAINT))]


def breaker(of: "Breaker") -> Line:
    """Return a breaker in words, marked where it is not healthy."""
    return (Piece(of.text, BREAKERS[of.level]),)


def question(agent: str, of: "Breaker", order: "Row | None", home: "str | None") -> "list[str]":
    """Return what a person is asked before the breaker of an agent is reset: the question, what changes, and what doesn't."""
    lines = [
        f"Reset the breaker of {printable(agent)}?",
        f"Now it is {of.text}: {of.tip}. Its failures in a row are forgotten, and it closes.",
        "What its tasks have counted stays.",
    ]
    if order is not None:
        lift = printable(command("breaker", agent, "auto", home=home))
        lines.append(
            f"A person's order stays in force ({printable(wording.shown_override(order))}): lift it with {lift}"
        )
    return lines
