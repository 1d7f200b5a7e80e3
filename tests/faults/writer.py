# ruff: noqa: T201 - it tells the test what it does on standard output
"""A warm process that makes writers by forking: `python -m tests.faults.writer HOME`.

Each line on its standard input is the path of a ledger: a new process records tasks until it is killed, and writes into
the ledger, a line each, what it attempts and what has been acknowledged. Its pid comes back on standard output.
"""

import os
import signal
import sys
import warnings
from contextlib import suppress
from itertools import count

from otel_tracker.doctor import examine_home
from otel_tracker.runtime.ids import new_id
from otel_tracker.storage import journal
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.faults.events import AGENTS, begin, end

ATTEMPTED, STARTED, ENDED = "attempted", "started", "ended"
SEGMENT_BYTES = 200_000
_ROUNDS_A_BACKUP = 4


def write_until_killed(home: Home, ledger: str) -> None:
    store, descriptor = Store(home), os.open(ledger, os.O_WRONLY | os.O_APPEND)
    for number in count(os.getpid()):
        tasks = [(new_id(), agent) for agent in AGENTS]
        for task in tasks:
            _say(descriptor, ATTEMPTED, task[0])
            store.announce([begin(*task)])
            _say(descriptor, STARTED, task[0])
        for task in tasks:
            store.record([end(*task)])
            _say(descriptor, ENDED, task[0])
        if number % _ROUNDS_A_BACKUP == 0:
            store.back_up()


def read_ledger(path: str) -> dict[str, set[str]]:
    """Return the runs that were attempted, and those whose start and whose end was acknowledged."""
    said: dict[str, set[str]] = {ATTEMPTED: set(), STARTED: set(), ENDED: set()}
    with open(path, encoding="ascii") as file:
        for line in file:
            what, run_id = line.split()
            said[what].add(run_id)
    return said


def main() -> None:
    home = Home(sys.argv[1])
    journal.SEGMENT_BYTES = SEGMENT_BYTES
    examine_home(Store(home))  # loads what is loaded when it is first needed
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the killed
    # Python warns of a fork beside a thread, here the one that writes, which is idle then; its child starts one of its own.
    warnings.simplefilter("ignore", DeprecationWarning)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            write_until_killed(home, line.strip())
        print(child, flush=True)
    with suppress(ChildProcessError):
        os.wait()  # until all have ended


def _say(descriptor: int, what: str, run_id: str) -> None:
    # Lines of 64 bytes never lie across two pages: between those, a kill tears a write apart.
    os.write(descriptor, f"{what} {run_id}".ljust(63).encode() + b"\n")


if __name__ == "__main__":
    main()
