"""`otel-tracker claude-code import`: what transcripts tell of the past, recorded, with a summary of what it was."""

import gc
import json
import os
import sys
import time
from textwrap import fill

from otel_tracker import names
from otel_tracker.errors import CountedElsewhereError, command
from otel_tracker.integrations.claude_code import NAME
from otel_tracker.integrations.claude_code.past.transcript_files import chosen_paths
from otel_tracker.integrations.claude_code.past.unread import Unread
from otel_tracker.integrations.claude_code.past.waiting import waiting_runs
from otel_tracker.integrations.claude_code.runs import ledger
from otel_tracker.runtime.environment import chosen_home
from otel_tracker.runtime.printable import printable
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from otel_tracker.integrations.claude_code.past.importing import Import
    from otel_tracker.reporting.aggregate import UsageTable
    from otel_tracker.state.document import Document
    from otel_tracker.state.shapes import Row

_WIDTH, _LABEL = 80, 10  # columns
_BAR, _MEGABYTE = 30, 1e6


def waiting(home: Home) -> "str | None":
    """Return how many runs of the user's transcripts wait to be imported into a home, and the command; None for none."""
    count = waiting_runs(home, chosen_paths([]))
    if not count:
        return None
    remedy = printable(command("claude-code import", home=home.option))
    return f"transcripts tell of about {_number(count, 'run')} of the past; record them with: {remedy}"


def import_past(options: "Namespace") -> int:
    """Import what a command line names, and print what that was."""
    home, paths = Home(chosen_home(options.home)), chosen_paths(options.paths)
    since, files = options.since, Files()
    if since is not None:
        from otel_tracker.reporting.window import moment

        since = moment(since, time.time())
    if options.format == "table" and files.signature(ledger.path_of(home)) is not None:
        unread = Unread(paths, ledger.Ledger(home, files), since)
        if not unread.groups:  # mostly, where it is called each hour: all the rest needn't be loaded
            print("\n".join(["imported: 0 runs", *_unchanged(unread.unchanged)]))
            return 0
    if since is None:
        refuse_other_totals(home)
    run, sums = _imported(options, home, paths, since)
    if options.format == "json":
        text = json.dumps(_value(options, run, sums), indent=2, ensure_ascii=False)
        print("\n".join(map(printable, text.split("\n"))))
    else:
        print("\n".join(_lines(options, home, run, sums)))
    return 0


def _imported(
    options: "Namespace", home: Home, paths: "list[str]", since: "float | None"
) -> "tuple[Import, UsageTable]":
    """Import, with a bar on a terminal, and return what was there, and the sums of what was recorded."""
    from otel_tracker.integrations.claude_code.past.agent_keys import AgentKeys
    from otel_tracker.integrations.claude_code.past.importing import Import
    from otel_tracker.reporting.aggregate import aggregate
    from otel_tracker.state.run_parts import parts_of
    from otel_tracker.storage.price_file import cost_in

    now, bar = time.time(), _Bar()
    if not options.dry_run:
        _settle(home, now)
    run = Import(home, AgentKeys(home, Files()), cost_in(home), now, since, is_dry_run=options.dry_run)
    gc.disable()  # nothing that a reader makes refers to itself, and looking for what does takes a tenth of the time
    try:
        return run, aggregate((part for event in run.events(paths, bar.show) for part in parts_of(event)), ("agent",))
    finally:
        gc.enable()
        bar.clear()


def _settle(home: Home, now: float) -> None:
    """Let sessions end that hooks have left open: by their own rules, as the first hook of another session does."""
    if Files().signature(home.of_integration(NAME)) is None:
        return
    from otel_tracker.integrations.claude_code.hooks.reconciler import end_abandoned
    from otel_tracker.integrations.claude_code.runs.watched import settle_others

    end_abandoned(home, "", now)
    settle_others(home, "", now, float("inf"))


def refuse_other_totals(home: Home) -> None:
    """Raise CountedElsewhereError if the document counts tasks that no event tells of, unless something was imported before."""
    if Files().signature(ledger.path_of(home)) is not None or Files().signature(home.document) is None:
        return
    from otel_tracker.state.run_parts import ARCHIVED
    from otel_tracker.storage.store import Store

    store = Store(home)
    document = store.read()
    first, told = None, 0
    for event in (event for _, events in store.run_events(document) for event in events):
        if event["action"] == ARCHIVED:
            told += event.get("runs", 0)
        elif event["id"]:  # an entry of another tracker's history has none
            told += event["action"] in names.OUTCOMES
            first = event["timestamp"]  # they come newest first
    counted = _counted(document)
    if counted > told:
        since = first or document.head["updated"] or format_timestamp(time.time())
        raise CountedElsewhereError(home.document, counted - told, since, home.option)


def _counted(document: "Document") -> int:
    """Return how many tasks a document counts: other trackers may have kept only one of its two sums."""
    of_agents: int = sum(agent["metrics"]["tasks_total"] for agent in document.agents.values())
    of_system: int = document.head["metrics"]["total_requests"]
    return max(of_agents, of_system)


def _value(options: "Namespace", run: "Import", sums: "UsageTable") -> "Row":
    total = {key: value for key, value in sums.total.items() if not key.startswith("duration_")}
    return {
        "is_dry_run": options.dry_run,
        "sessions": run.sessions,
        **total,
        "unpriced_models": sums.unpriced,
        "unchanged": run.unchanged,
        "known": run.known,
        "known_requests": run.known_requests,
        "going_on": run.going_on,
        "unreadable": run.unreadable,
        "rows": sums.rows,
        "main_rows": sums.main_rows,
    }


def _unchanged(folders: int) -> "Iterator[str]":
    if folders:
        yield _line("folders", f"{folders:,} as they were at the last import, which are not read again")


def _lines(options: "Namespace", home: Home, run: "Import", sums: "UsageTable") -> "Iterator[str]":
    total = sums.total
    counts = ("successful", "failed", "cancelled", "lost")
    runs = f"{_number(total['runs'], 'run')} in {_number(run.sessions, 'session')}"
    yield _line("imported", f"{runs}{' (nothing is written: this is a dry run)' if options.dry_run else ''}")
    if total["runs"]:
        yield _line("outcomes", ", ".join(f"{total[key]:,} {key}" for key in counts if total[key]))
    if total["tokens"]:
        yield _line("tokens", _tokens(total))
        yield _line("cost", f"{_cost(total)}, estimated by list prices" if total["cost_usd"] else _cost(total))
    for row in sums.main_rows:
        yield _line("of these", f"{row['tokens']:,} tokens, {_cost(row)}, in main conversations")
    if sums.unpriced:
        models = (f"{printable(model)} ({tokens:,} tokens)" for model, tokens in sums.unpriced.items())
        yield _line("unpriced", ", ".join(models))
    yield from _unchanged(run.unchanged)
    if run.known or run.known_requests:
        known = f"{_number(run.known, 'run')} and {_number(run.known_requests, 'request')} of main conversations"
        yield _line("known", f"{known} were counted before")
    if run.going_on:
        runs = _number(run.going_on, "run")
        yield _line(
            "left", f"{runs} of sessions that were written to within the last hour: for hooks, or a later import"
        )
    if run.unreadable:
        yield _line("skipped", f"{_number(run.unreadable, 'line')} of transcripts that can't be read")
    if total["tokens"] and not options.dry_run:
        yield _line("see", command("usage", options=("--by", "month,agent"), home=home.option))


def _tokens(total: "Row") -> str:
    kinds = ("input", "output", "cache_read", "cache_write", "untyped")
    of_kinds = ", ".join(f"{total[kind]:,} {kind.replace('_', ' ')}" for kind in kinds if total[kind])
    return f"{total['tokens']:,} ({of_kinds})"


def _cost(row: "Row") -> str:
    from otel_tracker.reporting import wording

    return wording.cost(row, is_lower_bound=row["is_lower_bound"])


def _line(label: str, text: str) -> str:
    """Return a labelled line of a summary, folded below itself."""
    indent = " " * _LABEL
    return fill(f"{label + ':':{_LABEL}}{text}", _WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def _number(count: int, of: str) -> str:
    return f"{count:,} {of}{'' if count == 1 else 's'}"


class _Bar:
    """A bar on standard error that shows how far a long command has come, if that is a terminal."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()
        self._text = ""

    def show(self, done: int, whole: int) -> None:
        """Show how many bytes of how many are done."""
        if not self._is_shown or not whole:
            return
        text = f"{'#' * (_BAR * done // whole):{_BAR}}  {done / _MEGABYTE:,.0f} of {whole / _MEGABYTE:,.0f} MB"
        if text != self._text:
            self._text = text
            os.write(2, f"\r{text}".encode())

    def clear(self) -> None:
        """Leave an empty line."""
        if self._text:
            os.write(2, f"\r{' ' * len(self._text)}\r".encode())
