import subprocess
import sys
from datetime import UTC, datetime
from email.utils import format_datetime, formatdate
from typing import Any

import pytest

from otel_tracker.tracking.retry import retry_after

NOW = 1_800_000_000.0


@pytest.mark.processes
@pytest.mark.parametrize(
    "call", ["tracker.run('a.md', work, retries=0)", "asyncio.run(tracker.arun('a.md', awaited, retries=0))"]
)
def test_a_run_without_retries_does_not_load_tenacity(call: str) -> None:
    code = f"""
import asyncio, sys
sys.modules['tenacity'] = None
from otel_tracker import MetricTracker

def work():
    raise KeyError('broken')

async def awaited():
    work()

tracker = MetricTracker()
try:
    {call}
except KeyError as error:
    print(error)
print(tracker.get_agent_metrics('a.md')['metrics']['tasks_failed'])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.splitlines(), done.stderr) == (["'broken'", "1"], "")


class Error(Exception):
    def __init__(self, headers: Any = None, **attributes: Any) -> None:
        super().__init__("slow down")
        self.response = type("Response", (), {"headers": headers})()
        for name, value in attributes.items():
            setattr(self, name, value)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (Error({"Retry-After": "12"}), 12.0),
        (Error({"retry-after": "0.5"}), 0.5),
        (Error({"RETRY-AFTER": 3}), 3.0),
        (Error({"Retry-After": formatdate(NOW + 90, usegmt=True)}), 90.0),
        (Error({"Retry-After": format_datetime(datetime.fromtimestamp(NOW - 90, UTC))}), 0.0),
        (Error(retry_after=4), 4.0),
        (Error({"Retry-After": "9"}, retry_after="7"), 7.0),
        (Error({"Retry-After": "-5"}), 0.0),
        (Error({"Retry-After": "soon"}), None),
        (Error({"Retry-After": "nan"}), None),
        (Error({"Retry-After": ""}), None),
        (Error({}), None),
        (Error(), None),
        (Error(7), None),
        (Error(retry_after=object()), None),
        (ValueError("nothing"), None),
    ],
)
def test_an_error_says_after_how_many_seconds_to_ask_again(error: Exception, seconds: float | None) -> None:
    assert retry_after(error, lambda: NOW) == seconds
