"""Findings about the machine: its clock, and the installed packages."""

import sys
import time
from collections.abc import Iterator
from importlib import metadata

from otel_tracker.doctor.subject import Subject
from otel_tracker.names import VERSION
from otel_tracker.reporting.finding import NOTE, OK, WRONG, Finding
from otel_tracker.runtime.timestamps import format_timestamp

_TOLERANCE_SECONDS = 60.0
_REQUIRED = ("opentelemetry-api", "opentelemetry-sdk", "prometheus-client", "pyyaml")


def clock(subject: Subject) -> Iterator[Finding]:
    """Compare the clock with the times of the events."""
    now, audit = time.time(), subject.audit
    newest, number, backwards = audit.newest, audit.newest_number, audit.set_back
    if newest > now + _TOLERANCE_SECONDS:
        text = f"event {number} is dated {format_timestamp(newest)}, which is ahead of it: one of the two is wrong"
        yield Finding("clock", WRONG, text, "timedatectl (or date) to check it; the event keeps its date")
    elif backwards:
        how_often = "once" if len(backwards) == 1 else f"{len(backwards)} times"
        text = f"it was put back by more than an hour {how_often}, last before event {backwards[-1]}"
        yield Finding("clock", NOTE, text)
    else:
        yield Finding("clock", OK, f"{format_timestamp(now)}, not behind any event")


def packages() -> Iterator[Finding]:
    """Compare the versions that are installed with those that are required."""
    installed = {name: _version(name) for name in _REQUIRED}
    for name, version in installed.items():
        least = _least(name)
        if version is None or (least and _as_numbers(version) < _as_numbers(least)):
            text = f"{name} {version or 'is missing'}: {least or 'any version'} or newer is needed"
            yield Finding("packages", WRONG, text, f"pip install --upgrade '{name}{f'>={least}' if least else ''}'")
    if installed["opentelemetry-api"] != installed["opentelemetry-sdk"]:
        text = "opentelemetry-api {opentelemetry-api} and -sdk {opentelemetry-sdk} should be of one version"
        yield Finding(
            "packages", WRONG, text.format(**installed), "pip install --upgrade opentelemetry-api opentelemetry-sdk"
        )
    shown = ", ".join(f"{name} {version}" for name, version in installed.items())
    yield Finding("packages", OK, f"otel-tracker {VERSION}, Python {sys.version.split()[0]}, {shown}")


def _version(name: str) -> "str | None":
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _least(name: str) -> "str | None":
    """Return the oldest version of a package that otel-tracker's metadata allows; None if it names none."""
    try:
        requirements = metadata.requires("otel-tracker") or []
    except metadata.PackageNotFoundError:
        return None
    requirement = next((line for line in requirements if line.startswith(f"{name}>=") and ";" not in line), None)
    return requirement.partition(">=")[2] if requirement else None


def _as_numbers(version: str) -> "tuple[int, ...]":
    return tuple(int(part) for part in version.split(".") if part.isdigit())
