"""What it takes to read a gigabyte of transcripts, against ccusage, a native program that adds up their tokens; and to import it."""

import os
import shutil
import subprocess
import time
from functools import partial
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.commands import installed
from benchmarks.measure import Row, interleaved
from benchmarks.usage import of_children
from otel_tracker import names
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.state import event
from otel_tracker.state.document import new_document
from otel_tracker.state.fold import fold_all
from tests.integrations.claude_code.trees import write_tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tracker.state.shapes import Event

_TREE_BYTES = 10**9
_RESULT_CHARACTERS, _TOOLS = 3500, 12  # about 70 requests and 5 runs a megabyte, as in the trees of people
_ROUNDS = 3
_ENDS, _MOST_SECONDS = 100_000, 5.0


def usage_of_the_past(folder: str) -> Row:
    """Measure the processor time of `otel-tracker claude-code usage` beside that of a ccusage in PATH."""
    tree = _tree(folder)
    ours = [_program(folder), "claude-code", "usage", tree]
    other = shutil.which("ccusage")
    if other is None:
        seconds, _ = interleaved(_process(ours, tree), lambda: None, _ROUNDS, warm_up=1, clock=of_children)
        return Row("claude-code usage, 1 GB; no ccusage in PATH", seconds, nan)
    theirs = [other, "daily", "--offline", "--json"]
    times = interleaved(_process(ours, tree), _process(theirs, tree), _ROUNDS, warm_up=1, clock=of_children)
    return Row("claude-code usage, 1 GB", *times, 1)


def import_of_the_past(folder: str) -> Row:
    """Measure the processor time of an import beside that of `claude-code usage`, which reads the same and writes nothing."""
    tree, home = _tree(folder), os.path.join(folder, "home-of-import")
    ours = _process([_program(folder), "claude-code", "import", tree, "--home", home], tree)

    def import_anew() -> None:
        shutil.rmtree(home, ignore_errors=True)
        ours()

    usage = _process([_program(folder), "claude-code", "usage", tree], tree)
    return Row("claude-code import, 1 GB", *interleaved(import_anew, usage, _ROUNDS, warm_up=1, clock=of_children), 1.5)


def second_import(folder: str) -> Row:
    """Measure the processor time of an import that finds nothing new, beside that of the first one."""
    tree, home, kept = _tree(folder), os.path.join(folder, "home-of-import"), os.path.join(folder, "home-of-second")
    command = [_program(folder), "claude-code", "import", tree, "--home"]
    first = _process([*command, home], tree)

    def import_anew() -> None:
        shutil.rmtree(home, ignore_errors=True)
        first()

    again = _process([*command, kept], tree)
    again()
    return Row("the same again", *interleaved(again, import_anew, _ROUNDS, warm_up=1, clock=of_children), 0.1)


def fold_of_imported_ends(folder: str) -> Row:
    """Measure the processor time of folding the ends of 100,000 imported runs into a document."""
    del folder
    events = [{**_end(number), "seq": number} for number in range(1, _ENDS + 1)]
    fold = partial(fold_all, new_document(), events)
    seconds, _ = interleaved(fold, lambda: None, _ROUNDS, clock=time.process_time)
    return Row("100,000 imported ends, folded", seconds, _MOST_SECONDS, 1)


def _end(number: int) -> "Event":
    at, tokens = time.time() - (_ENDS - number) * 300, {"input": number % 997, "output": number % 4999}
    tokens |= {"cache_read": 10 * number, names.PRICED: number, names.COST: number}
    return event.task_ended(
        f"core/agent_{number % 50}.md",
        names.FAILURE if number % 7 == 0 else names.SUCCESS,
        at,
        run_id=f"{number:032}",
        started=format_timestamp(at - 60),
        duration_seconds=60.0,
        model="opus",
        tokens=tokens,
        models={f"claude-opus-{number % 3}": tokens},
        told_later=True,
        imported=True,
    )


def _tree(folder: str) -> str:
    """Return the path of the tree, which is made once in a run of benchmarks."""
    tree = os.path.join(folder, "claude")
    if not os.path.exists(tree):
        sizes = {"filler": _RESULT_CHARACTERS, "tools": _TOOLS, "most_bytes": _TREE_BYTES}
        write_tree(Path(tree), 1, time.time(), spaced=0.0, **sizes)  # ccusage finds no usage where spaces are
    return tree


def _program(folder: str) -> str:
    return os.path.join(installed(os.path.join(folder, "venv")), "otel-tracker")


def _process(command: list[str], tree: str) -> "Callable[[], object]":
    environment = {**os.environ, "CLAUDE_CONFIG_DIR": tree}
    return lambda: subprocess.run(command, env=environment, capture_output=True, check=True)
