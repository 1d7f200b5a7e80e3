"""A warm process that plays sessions, several at once, and forks for each hook: `python -m tests.stories.forked_hooks HOME AT_ONCE`.

A session is a line of JSON on standard input: a list of steps, each a payload and what is written to which file before
it. What a hook answers is printed; a hook that fails ends all with a status other than 0.
"""

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any, NoReturn

from otel_tracker import runtime, state, storage
from otel_tracker.integrations import claude_code
from tests.stories.replay import send, write


def play_all(home: str, sessions: list[Any], at_once: int) -> int:
    """Play sessions in so many processes, and return how many of these have failed."""
    players = [_fork(partial(play_each, home, sessions[first::at_once])) for first in range(at_once)]
    return sum(_status(player) != 0 for player in players)


def play_each(home: str, sessions: list[Any]) -> None:
    """Play one session after the other, each hook in a process of its own."""
    for payload, writes in (step for session in sessions for step in session):
        write((Path(path), text) for path, text in writes)
        assert _status(_fork(partial(answer, payload, home))) == 0


def answer(payload: Any, home: str) -> None:
    sys.stdout.write(send(payload, home))


def _fork(act: Callable[[], object]) -> int:
    return os.fork() or _run(act)


def _run(act: Callable[[], object]) -> NoReturn:
    status = 1
    try:
        act()
        sys.stdout.flush()
        status = 0
    finally:
        os._exit(status)


def _status(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def warm_up() -> None:
    """Load what hooks load when they first need it."""
    for package in (claude_code, storage, state, runtime):
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            import_module(module.name)


if __name__ == "__main__":
    warm_up()
    sys.exit(play_all(sys.argv[1], [json.loads(line) for line in sys.stdin], int(sys.argv[2])))
