"""HTML of views, by the templates of this package. Texts of others are escaped, and show every letter that doesn't print."""

from base64 import b64encode
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from typing import NamedTuple

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from otel_tracker.reporting.page import figures
from otel_tracker.reporting.page.query import WINDOWS, Query, address
from otel_tracker.runtime.printable import printable
from otel_tracker.runtime.timestamps import format_timestamp, parse_timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

_TEMPLATES = "templates"
_OF_OTHERS = {"filter": "", "sort": "trouble", "rows": ""}  # choices that are about one list


class Frame(NamedTuple):
    """What every view needs beside its data."""

    query: Query
    now: float
    zone: "tzinfo | None"
    sequence: int
    """The number of the last event that the view shows."""
    start: str = ""
    """A text that each start of the server draws anew: the token of its orders."""
    agents: "Sequence[str] | None" = None
    """Of a file: the agents that it has a part about. Its links lead nowhere else."""

    def link(self, path: str, **changes: str) -> str:
        """Return the address of a view with the reader's choices, some of them changed; empty in a file."""
        if self.agents is not None:
            return ""
        return address(path, self.query, **{"agent": "", "order": "", "id": "", "run": "", **changes})

    def agent_link(self, agent: str) -> str:
        """Return the address of an agent's view; in a file of its part, empty where there is none."""
        if self.agents is not None:
            return f"#agent-{self.agents.index(agent)}" if agent in self.agents else ""
        return self.link("/agent", agent=agent, **_OF_OTHERS)

    def session_link(self, session: str) -> str:
        """Return the address of a session's view."""
        return self.link("/session", id=session, **_OF_OTHERS)

    def run_link(self, run: str) -> str:
        """Return the address of a run's view."""
        return self.link("/run", id=run, **_OF_OTHERS)

    def clock(self, moment: float) -> str:
        """Return a moment as the reader's clock shows it."""
        return figures.clock(moment, self.zone)

    def ago(self, moment: float) -> str:
        """Return how long ago a moment is."""
        return figures.ago(moment, self.now)


def rendered_file(frame: Frame, **data: object) -> str:
    """Return the fleet and its agents as one file of HTML, which loads nothing: its style is in it, allowed by its hash."""
    style = resource("page.css")
    digest = b64encode(sha256(style.encode()).digest()).decode()
    style_of_ours = Markup(style)  # noqa: S704 - a file of this package
    template = _environment().get_template("report.html")
    return template.render(frame=frame, view="report", style=style_of_ours, style_hash=f"sha256-{digest}", **data)


def rendered(view: str, frame: Frame, **data: object) -> str:
    """Return a view as a page of HTML."""
    return _environment().get_template(f"{view}.html").render(frame=frame, view=view, **data)


def rendered_part(name: str, **data: object) -> str:
    """Return a part of a page, which stands in a document of another program."""
    return _environment().get_template(f"{name}.html").render(**data)


def resource(name: str) -> str:
    """Return the text of a file beside the templates."""
    return files(__package__).joinpath(_TEMPLATES, name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(lambda name: (resource(name), name, None)),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=_printable,
    )
    environment.globals.update(
        window_names=WINDOWS, plural=figures.plural, duration=figures.duration, timestamp=format_timestamp, moment=parse_timestamp,
        marks=figures.MARKS, percent=lambda share: f"{share * 100:.0f} %",
    )  # fmt: skip
    return environment


def _printable(value: object) -> object:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
