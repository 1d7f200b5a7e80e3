"""Owns the examination of a home: findings, each with the command that mends it, and the repair that needs no person.

Reading order: subject, folders, audit, contents (with compare), surroundings, telemetry; repair.
"""

import os
from functools import partial
from typing import TYPE_CHECKING

from otel_tracker import integrations
from otel_tracker.doctor import contents, folders, surroundings, telemetry
from otel_tracker.doctor.repair import repair
from otel_tracker.doctor.subject import Subject
from otel_tracker.errors import OtelTrackerError
from otel_tracker.reporting.finding import NOTE, OK, WRONG, Finding
from otel_tracker.storage.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_tracker.state.document import Document

__all__ = ["NOTE", "OK", "WRONG", "Finding", "examine", "examine_home", "look", "repair"]

_OF_THE_HOME = (
    folders.home,
    folders.permissions,
    folders.locks,
    folders.leavings,
    contents.document,
    contents.journal,
    contents.archive,
    contents.lag,
    contents.comparison,
    contents.backups,
    contents.prices,
    contents.running,
    surroundings.clock,
)


def examine(store: Store) -> list[Finding]:
    """Return the findings about a home and its surroundings, in a fixed order of topics. Nothing is changed."""
    of_agents = (integration.findings(store.home) for integration in integrations.load_all())
    around = (surroundings.packages(), telemetry.recording(), telemetry.telemetry(), *of_agents)
    return [*examine_home(store), *(finding for findings in around for finding in findings)]


def look(store: Store, present: "Document") -> list[Finding]:
    """Return what is wrong with a home and its hooks, as far as it can be seen at every look; `present` is the home's state.

    What is only worth knowing about a coding agent is left out where its hooks have never recorded anything.
    """
    subject, home = Subject(store), store.home
    found = _findings(folders.leavings, subject) + _findings(partial(contents.behind, present=present), subject)
    for name, integration in zip(integrations.NAMES, integrations.load_all(), strict=True):
        levels = (WRONG, NOTE) if os.path.isdir(home.of_integration(name)) else (WRONG,)
        found += [finding for finding in integration.findings(home) if finding.level in levels]
    found += telemetry.recording()
    return [finding for finding in found if finding.level != OK]


def examine_home(store: Store) -> list[Finding]:
    """Return the findings about a home's own files, in a fixed order of topics. Nothing is changed."""
    subject = Subject(store)
    checks = _OF_THE_HOME if os.path.isdir(store.home.folder) else (folders.home,)
    return [finding for check in checks for finding in _findings(check, subject)]


def _findings(check: "Callable[[Subject], Iterator[Finding]]", subject: Subject) -> list[Finding]:
    try:
        return list(check(subject))
    except OtelTrackerError as error:
        return [Finding(check.__name__, WRONG, str(error))]
