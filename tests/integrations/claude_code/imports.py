"""Imports of the past, as tests make them."""

import time
from pathlib import Path
from typing import Any

from otel_tracker.integrations.claude_code.past.agent_keys import AgentKeys
from otel_tracker.integrations.claude_code.past.importing import Import
from otel_tracker.state.shapes import Event
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.price_file import price_table


def new_import(home: Home, now: float | None = None, **how: Any) -> Import:
    """Return an import into a home as of a moment, by default the present one."""
    files = Files()
    cost = price_table(home, files).cost
    return Import(home, AgentKeys(home, files), cost, time.time() if now is None else now, **how)


def imported(home: Home, *paths: Path, **how: Any) -> tuple[Import, list[Event]]:
    """Import what is below paths, and return the import with the events that it has recorded."""
    run = new_import(home, **how)
    return run, list(run.events(map(str, paths), unseen))


def unseen(done: int, whole: int) -> None:
    """Show nobody how much is done."""
