"""A short kill campaign; `python -m tests.faults.campaign` is the long one."""

import os
import random
import time
from pathlib import Path

import pytest

from otel_tracker.storage import journal as journals
from tests.faults.campaign import Campaign
from tests.faults.campaign_writers import SEGMENT_BYTES

pytestmark = pytest.mark.processes


def test_no_way_to_record_loses_or_doubles_a_task_when_writers_are_killed_and_segments_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = int(os.environ.get("FAULTS_SEED") or time.time_ns())
    print(f"to have the same moments again: FAULTS_SEED={seed}")  # noqa: T201
    monkeypatch.setattr(journals, "SEGMENT_BYTES", SEGMENT_BYTES)
    campaign = Campaign(tmp_path, random.Random(seed))  # noqa: S311 - nothing is a secret here
    for _ in range(15):
        campaign.kill_a_round()
    counted = campaign.look()
    assert campaign.finish() == []
    assert all(counted[way] for way in ("blocks", "calls", "batches", "hooks", "commands"))
