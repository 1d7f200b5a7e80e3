# ruff: noqa: T201 - it tells the test what it does on standard output
"""Processes that record tasks all at once: `python -m tests.faults.crowd DOCUMENT NUMBER PROCESSES`.

They are forks of this process, which has loaded everything, and begin when standard input ends. Its exit status tells whether
all of theirs were 0.
"""

import os
import sys

from tests.faults.tasks import record_tasks


def forks(processes: int) -> list[int]:
    """Return the pids of new processes, which wait for the end of standard input; in each of them, return none."""
    pids: list[int] = []
    while len(pids) < processes:
        pid = os.fork()
        if not pid:
            sys.stdin.read()
            return []
        pids.append(pid)
    return pids


if __name__ == "__main__":
    pids = forks(int(sys.argv[3]))
    if pids:
        print("ready", flush=True)
        statuses = [os.waitpid(pid, 0)[1] for pid in pids]
        sys.exit(any(statuses))
    record_tasks(sys.argv[1], int(sys.argv[2]))
