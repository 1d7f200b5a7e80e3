# ruff: noqa: T201 - it tells the test what it does on standard output
"""A process that reads a home all the time, until its standard input ends: `python -m tests.faults.reader HOME LEDGER...`.

It fails at what nobody should ever see, and prints how often it has read.
"""

import json
import os
import select
import sys
from collections.abc import Iterator

from otel_tracker.storage import journal
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.faults.writer import ENDED, SEGMENT_BYTES, read_ledger

_READS_A_STATE = 10
_PAUSE_SECONDS = 0.002


def read_until_told(home: Home, ledgers: list[str]) -> int:
    """Read the file as any program does, and now and then the present state; return how often."""
    store, number, newest = Store(home), 0, 0
    for number, _ in enumerate(_until_told(), 1):
        newest = _read_file(home.document, newest)
        if number % _READS_A_STATE == 0:
            _read_state(store if number % (2 * _READS_A_STATE) else Store(home), ledgers)
    return number


def _read_file(path: str, newest: int) -> int:
    """Return the document's number, which never goes back; once there, the document stays."""
    if not newest and not os.path.exists(path):
        return 0
    with open(path, encoding="utf-8") as file:
        number: int = json.load(file)["sequence"]
    assert number >= newest, f"the document went back from event {newest} to {number}"
    return number


def _read_state(store: Store, ledgers: list[str]) -> None:
    acknowledged = sum(len(read_ledger(ledger)[ENDED]) for ledger in ledgers)
    counted = store.read().head["metrics"]["successful"]
    assert counted >= acknowledged, f"{acknowledged} ends were acknowledged, {counted} counted"


def _until_told() -> Iterator[None]:
    while not select.select([sys.stdin], [], [], _PAUSE_SECONDS)[0]:
        yield


if __name__ == "__main__":
    journal.SEGMENT_BYTES = SEGMENT_BYTES
    print(read_until_told(Home(sys.argv[1]), sys.argv[2:]))
