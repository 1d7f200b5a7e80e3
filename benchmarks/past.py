"""What it takes to read a gigabyte of transcripts, against ccusage, a native program that adds up their tokens."""

import os
import shutil
import subprocess
import time
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.commands import installed
from benchmarks.measure import Row, interleaved
from benchmarks.usage import of_children
from tests.integrations.claude_code.trees import write_tree

if TYPE_CHECKING:
    from collections.abc import Callable

_TREE_BYTES = 10**9
_RESULT_CHARACTERS, _TOOLS = 3500, 12  # about 70 requests and 5 runs a megabyte, as in the trees of people
_ROUNDS = 3


def usage_of_the_past(folder: str) -> Row:
    """Measure the processor time of `otel-tracker claude-code usage` beside that of a ccusage in PATH."""
    tree = os.path.join(folder, "claude")
    sizes = {"filler": _RESULT_CHARACTERS, "tools": _TOOLS, "most_bytes": _TREE_BYTES}
    write_tree(Path(tree), 1, time.time(), spaced=0.0, **sizes)  # ccusage finds no usage where spaces are
    ours = [os.path.join(installed(os.path.join(folder, "venv")), "otel-tracker"), "claude-code", "usage", tree]
    other = shutil.which("ccusage")
    if other is None:
        seconds, _ = interleaved(_process(ours, tree), lambda: None, _ROUNDS, warm_up=1, clock=of_children)
        return Row("claude-code usage, 1 GB; no ccusage in PATH", seconds, nan)
    theirs = [other, "daily", "--offline", "--json"]
    times = interleaved(_process(ours, tree), _process(theirs, tree), _ROUNDS, warm_up=1, clock=of_children)
    return Row("claude-code usage, 1 GB", *times, 1)


def _process(command: list[str], tree: str) -> "Callable[[], object]":
    environment = {**os.environ, "CLAUDE_CONFIG_DIR": tree}
    return lambda: subprocess.run(command, env=environment, capture_output=True, check=True)
