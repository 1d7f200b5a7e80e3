# ruff: noqa: T201 - a person reads what it prints
"""A kill campaign: all ways to record, killed at random moments; a history of 3 entries; segments deleted meanwhile.

`python -m tests.faults.campaign [--minutes 20]` goes on until the time is over, or something was lost or counted twice.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from otel_tracker import names
from otel_tracker.state.shapes import Event
from otel_tracker.storage import journal as journals
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.faults.campaign_writers import ACKNOWLEDGED, ATTEMPTED, SEGMENT_BYTES, WAYS
from tests.faults.events import begin, end
from tests.home_files import on_disk

_CONFIG = {"history_max_entries": 3, "history_retention_days": 5 / 86_400}
_LONGEST_LIFE_SECONDS = 0.4
_ROUNDS_A_LOOK = 20


class Campaign:
    """Writers of one home, one for each way, each with an agent and a ledger of its own.

    `copies` keeps each segment of the journal by a link, so that it can still be read once it is deleted.
    """

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.home, self.chance = Home(str(folder / "home")), chance
        self.copies, self.ledgers = folder / "copies", {way: folder / f"ledger-{way}" for way in WAYS}
        self.copies.mkdir()
        for ledger in self.ledgers.values():
            ledger.touch()
        document = Path(self.home.document)
        Store(self.home).record([begin("first"), end("first")])
        document.write_text(json.dumps({**on_disk(self.home), "config": _CONFIG}))
        Store(self.home).record([begin("second"), end("second")])
        self.writers: list[int] = []
        self.complaints = folder / "complaints"
        with self.complaints.open("w") as complaints:
            # Forking beside the writer thread is what applications do.
            command = [
                sys.executable,
                "-W",
                "ignore::DeprecationWarning",
                "-m",
                "tests.faults.campaign_writers",
                self.home.folder,
            ]
            self.maker = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, text=True, bufsize=1
            )

    def kill_a_round(self) -> None:
        """Let one writer for each way live for a random time."""
        maker = self.maker
        assert maker.stdin is not None
        assert maker.stdout is not None
        maker.stdin.writelines(f"{way} {way} {ledger}\n" for way, ledger in self.ledgers.items())
        self.writers = [int(maker.stdout.readline()) for _ in self.ledgers]
        deaths = sorted((self.chance.uniform(0.01, _LONGEST_LIFE_SECONDS), pid) for pid in self.writers)
        began = time.monotonic()
        for moment, pid in deaths:
            time.sleep(max(0.0, began + moment - time.monotonic()))
            self._link_segments()
            _kill(pid)

    def finish(self) -> list[str]:
        """End the maker of writers, and return what it and its writers have said on standard error."""
        for pid in self.writers:
            _kill(pid)
        self.maker.communicate(timeout=60)
        lines = self.complaints.read_text().splitlines()
        return [line for line in lines if not line.startswith("cut a line off the end of")]

    def look(self) -> dict[str, int]:
        """Compare the document and the journal, deleted segments included, with the ledgers; return what has been counted."""
        store = Store(self.home)
        store.record([begin(f"look-{time.time_ns()}")])  # finds out which tasks have been lost
        self._link_segments()
        events = self._events()
        agents = on_disk(self.home)["agents"]
        counted = {}
        for way, ledger in self.ledgers.items():
            attempted, acknowledged = _read(ledger)
            ends = Counter(
                (_name(event), event["run_id"])
                for event in events
                if event["agent"] == way and event["action"] in names.OUTCOMES
            )
            twice = [run for run, times in ends.items() if times > 1]
            ended = Counter(name for name, _ in ends)
            total = agents[way]["metrics"]["tasks_total"] if way in agents else 0
            assert not twice, f"{way}: ended twice in the journal: {twice[:3]}"
            assert max(ended.values(), default=1) == 1, f"{way}: two runs of one task: {ended.most_common(3)}"
            assert set(ended) <= attempted, f"{way}: nobody has attempted {set(ended) - attempted}"
            assert acknowledged <= set(ended), f"{way}: lost: {sorted(acknowledged - set(ended))[:3]}"
            assert total == len(ended), f"{way}: the document says {total} tasks, the journal {len(ended)}"
            counted[way] = total
        return counted

    def deleted_segments(self) -> int:
        """Return how many segments the retention has deleted."""
        return len(list(self.copies.iterdir())) - len(Store(self.home).parts.journal.segments())

    def _link_segments(self) -> None:
        for segment in Path(self.home.journal).glob("*.jsonl"):
            copy = self.copies / segment.name
            try:
                if not copy.exists():
                    os.link(segment, copy)
            except FileNotFoundError:  # deleted in between, after the last look has linked it
                continue

    def _events(self) -> list[Event]:
        segments = sorted(self.copies.iterdir(), key=lambda path: int(path.stem))
        events = [json.loads(line) for segment in segments for line in segment.read_bytes().splitlines()]
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        return events


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):  # a writer that has ended by itself has said why
        os.kill(pid, signal.SIGKILL)


def _name(event: Event) -> str:
    """Return the name of a task as its ledger has it: its span's number, or its task id."""
    return str(int(event["span_id"], 16)) if event["agent"] == "batches" else event["task_id"]


def _read(ledger: Path) -> tuple[set[str], set[str]]:
    """Return the names of the tasks that were attempted, and of those that were acknowledged."""
    lines = [line.split() for line in ledger.read_text("ascii").splitlines()]
    attempted, acknowledged = ({name for word, name in lines if word == wanted} for wanted in (ATTEMPTED, ACKNOWLEDGED))
    return attempted, acknowledged


def main() -> None:
    """Run campaigns until the time is over."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    minutes = parser.parse_args().minutes
    seed = int(os.environ.get("FAULTS_SEED") or time.time_ns())
    print(f"FAULTS_SEED={seed}")
    journals.SEGMENT_BYTES = SEGMENT_BYTES
    began, kills = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        campaign = Campaign(Path(folder), random.Random(seed))  # noqa: S311 - nothing is a secret here
        try:
            while time.monotonic() - began < minutes * 60:
                for _ in range(_ROUNDS_A_LOOK):
                    campaign.kill_a_round()
                kills += _ROUNDS_A_LOOK * len(WAYS)
                print(f"{kills} kills, {campaign.deleted_segments()} segments deleted:", campaign.look(), flush=True)
        finally:
            print(*campaign.finish(), sep="\n")


if __name__ == "__main__":
    main()
