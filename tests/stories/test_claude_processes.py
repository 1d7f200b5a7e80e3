"""A hundred sessions at once, each hook a process of its own: every run is counted once, and one probe is let through."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from otel_tracker import names
from tests.builders import end
from tests.places import ROOT
from tests.stories.harness import Session
from tests.stories.replay import CODER, RESET, Ended, expected, prepare, read, said, write

pytestmark = pytest.mark.processes

SESSIONS, AT_ONCE = 100, 16


def hook_process(payload: Any, home: Path) -> str:
    """Return what a hook prints; it exits with 0 and says nothing else."""
    command = [sys.executable, "-m", "otel_tracker", "claude-code", "hook", "--home", os.fspath(home)]
    done = subprocess.run(command, input=json.dumps(payload).encode(), capture_output=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode()


def a_session(number: int) -> "tuple[Session, list[Ended]]":
    """Return one of four kinds of sessions, and how its runs are to be counted."""
    session = Session()
    match number % 4:
        case 0:
            session.launches().begins().works().ends().completes()
            return session, [Ended()]
        case 1:
            session.launches().is_in_background().works().ends().is_notified("completed")
            return session, [Ended()]
        case 2:
            runs = [session.launches("Explore"), session.launches("Explore")]
            for run in runs:
                run.works().completes()
            return session, [Ended(agent="Explore")] * 2
        case _:
            session.launches("Plan").begins().works().ends()
            session.is_over()
            return session, [Ended(agent="Plan")]


def test_every_run_of_a_hundred_sessions_at_once_is_counted_once(tmp_path: Path) -> None:
    prepare(tmp_path, (CODER, "Explore", "Plan"))
    told = [a_session(number) for number in range(SESSIONS)]
    lines = [json.dumps([(step.payload, _as_texts(step.writes)) for step in session.steps]) for session, _ in told]
    command = [sys.executable, "-m", "tests.stories.forked_hooks", os.fspath(tmp_path), str(AT_ONCE)]
    sent = "\n".join(lines)
    done = subprocess.run(command, input=sent, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert said(tmp_path) == expected([run for _, runs in told for run in runs])


def _as_texts(writes: "list[tuple[Path, str]]") -> list[tuple[str, str]]:
    return [(os.fspath(path), text) for path, text in writes]


def test_hooks_of_one_session_at_once_are_one_run(tmp_path: Path) -> None:
    prepare(tmp_path)
    session = Session()
    session.launches().begins().works().ends().completes()
    session.stops()
    for step in session.steps:
        write(step.writes)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        printed = list(pool.map(lambda step: hook_process(step.payload, tmp_path), session.steps * 3))
    assert set(printed) == {""}
    assert said(tmp_path, has_breaker=False) == expected([Ended(failures=RESET)], has_breaker=False)


def test_of_many_sessions_that_ask_at_the_end_of_a_cooldown_one_gets_the_probe(tmp_path: Path) -> None:
    from otel_tracker.storage.home import Home
    from otel_tracker.storage.store import Store

    prepare(tmp_path)
    Store(Home(os.fspath(tmp_path))).record([end(f"r{number}", names.FAILURE, agent=CODER) for number in range(5)])
    launches = [Session().launches() for _ in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        printed = list(pool.map(lambda run: hook_process(run.session.steps[0].payload, tmp_path), launches))
    assert sorted(bool(text) for text in printed) == [False] + [True] * (AT_ONCE - 1)
    assert read(tmp_path).agents[CODER]["tallies"]["rejected"] == AT_ONCE - 1


HEAVY = {"opentelemetry", "prometheus_client", "argparse", "logging", "typing", "subprocess", "hashlib", "_strptime"}


def loaded_by(payload: Any, home: Path) -> set[str]:
    """Return which of the heavy modules a hook has loaded for a payload."""
    code = (
        "import sys; from otel_tracker.integrations.claude_code.hooks import hook; "
        f"hook.main(['--home', {os.fspath(home)!r}]); print(*sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-S", "-c", code]  # what a site-packages folder loads at the start isn't ours
    data = json.dumps(payload).encode()
    shown = subprocess.run(command, input=data, capture_output=True, check=True, env=environment, timeout=60)
    return {name.partition(".")[0] for name in shown.stdout.decode().split()} & HEAVY


def test_no_hook_loads_what_takes_long_to_load(tmp_path: Path) -> None:
    prepare(tmp_path)
    session = Session()
    session.launches().begins().works().ends().completes()
    session.launches().begins().fails("no")
    session.stops()
    session.is_over()
    for step in session.steps:
        write(step.writes)
        assert loaded_by(step.payload, tmp_path) == set(), step.event
    assert said(tmp_path)["ends"] == 2
