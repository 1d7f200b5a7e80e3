"""What Claude Code sends to its hooks and writes to its files, as it was seen (tests/data/claude/payloads), by version.

Each line of a version's file has a payload, a sidecar or a record of an agent's transcript, with made-up ids and short texts.
A name's first part is the event or the record's type, then comes what is special about it.
"""

import json
from functools import cache
from typing import Any, NamedTuple

from tests.places import DATA

Payload = dict[str, Any]

_FOLDER = DATA / "claude" / "payloads"
VERSIONS = sorted((path.stem for path in _FOLDER.iterdir()), key=lambda version: [int(n) for n in version.split(".")])
OLDEST, NEWEST = VERSIONS[0], VERSIONS[-1]


class Seen(NamedTuple):
    """What was seen of one version, by name."""

    payloads: dict[str, Payload]
    sidecars: list[Payload]
    records: dict[str, Payload]


@cache
def seen(version: str) -> Seen:
    of_version = Seen({}, [], {})
    for line in (_FOLDER / f"{version}.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if "payload" in entry:
            of_version.payloads[entry["payload"]] = entry["is"]
        elif "sidecar" in entry:
            of_version.sidecars.append(entry["is"])
        else:
            of_version.records[entry["record"]] = entry["is"]
    return of_version


def payload_of(version: str, name: str) -> Payload:
    """Return the payload of a version, or of the first one after it that sends such a one; empty if none does."""
    return next((seen(later).payloads[name] for later in _from(version) if name in seen(later).payloads), {})


def record_of(version: str, name: str) -> Payload:
    """Return the record of a version, or of the first one after it that writes such a one."""
    return next(seen(later).records[name] for later in _from(version) if name in seen(later).records)


def sidecar_of(version: str) -> Payload:
    """Return the plainest sidecar of an agent that runs."""
    running = [sidecar for sidecar in seen(version).sidecars if "description" in sidecar and "finished" not in sidecar]
    return min(running, key=len)


def like(true: Payload, given: Payload, newest: "Payload | None" = None) -> Payload:
    """Return `true`, in its order and to its depth, with the values of `given`, and then the keys that `given` alone has.

    A key that only `newest` has is left out: the version of `true` doesn't know it yet. What a tool is asked for is not the
    program's, and stays as it is given.
    """
    newest = true if newest is None else newest
    merged = dict(true)
    for key, value in given.items():
        known, later = true.get(key), newest.get(key)
        if isinstance(known, dict) and isinstance(value, dict) and key != "tool_input":
            merged[key] = like(known, value, later)
        elif key in true or key not in newest:
            merged[key] = value
    return merged


def _from(version: str) -> list[str]:
    return VERSIONS[VERSIONS.index(version) :]
