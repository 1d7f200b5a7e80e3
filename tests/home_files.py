"""A home's files as any program reads them."""

import json
from pathlib import Path
from typing import Any

from otel_tracker.storage.home import Home


def on_disk(home: Home) -> dict[str, Any]:
    """Return the document."""
    document: dict[str, Any] = json.loads(Path(home.document).read_bytes())
    return document


def journal(home: Home) -> list[dict[str, Any]]:
    """Return the journal's events; no line may be torn."""
    segments = sorted(Path(home.journal).glob("*.jsonl"), key=lambda path: int(path.stem))
    return [json.loads(line) for segment in segments for line in segment.read_bytes().splitlines()]
