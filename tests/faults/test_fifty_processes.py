"""Fifty processes at once on one home: none fails, none complains, every number is exact."""

import subprocess

import pytest

from otel_tracker import names
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.faults.components import assert_counted_exactly, assert_in_order, finished, journal, runs, start
from tests.faults.events import AGENTS
from tests.faults.tasks import TOKENS
from tests.home_files import on_disk

pytestmark = pytest.mark.processes

PROCESSES, ROUNDS = 50, 4
TASKS = ROUNDS * len(AGENTS)


def test_fifty_processes_at_once_record_every_task_exactly_once(disk_home: Home) -> None:
    home = disk_home
    Store(home).rewrite()  # whoever comes while there is no document yet may take it for one that has vanished
    crowd = start("crowd", home.document, str(TASKS), str(PROCESSES), stdin=subprocess.PIPE)
    assert crowd.stdout
    assert crowd.stdout.readline() == "ready\n"
    assert finished(crowd) == ("", [])
    assert_every_number(home, PROCESSES * ROUNDS)
    assert_counted_exactly(home)
    assert_in_order(home)


def assert_every_number(home: Home, tasks_an_agent: int) -> None:
    completed, document = runs(journal(home), names.TASK_COMPLETED), on_disk(home)
    assert len(completed) == len(set(completed)) == tasks_an_agent * len(AGENTS)
    assert document["in_flight"] == {}
    for agent in AGENTS:
        found = document["agents"][agent]
        assert found["metrics"]["tasks_total"] == sum(found["durations"]["buckets"]) == tasks_an_agent
        usage = found["token_usage"]["sonnet"]
        assert (usage["count"], usage["total"]) == (tasks_an_agent, tasks_an_agent * TOKENS)
