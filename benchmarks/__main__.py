"""`python -m benchmarks [NAME ...]`: measure, and print a table of ratios; without a name everything.

Nothing is asserted: a ratio beyond its bound has `over` beside it.
"""

import argparse
import os
import sys
import tempfile

from benchmarks.batch import batch_of_spans, repeated_span, task_beside_running_ones
from benchmarks.big import (
    doctor_of_big_home,
    gate_of_big_home,
    health_of_big_home,
    history_of_big_home,
    recorder_of_long_run,
    task_without_document,
)
from benchmarks.commands import exec_command, health_command, report_command
from benchmarks.crowd import crowded_tasks
from benchmarks.durable import durable_task, shared_task, task_behind_long_journal
from benchmarks.hooks import (
    gate_behind_long_history,
    gate_of_closed_breaker,
    gate_of_open_breaker,
    gate_of_probe,
    recorder_of_run,
)
from benchmarks.measure import Row
from benchmarks.past import fold_of_imported_ends, import_of_the_past, second_import, usage_of_the_past
from benchmarks.permit import permit_of_closed_breaker
from benchmarks.scrape import changed_scrape, unchanged_scrape
from benchmarks.span import dropped_task, openinference_agent, openllmetry_agent, task_in_processor_time
from benchmarks.usage import usage_of_a_week

_MEASUREMENTS = {
    "task": task_in_processor_time,
    "durable": durable_task,
    "shared": shared_task,
    "span": dropped_task,
    "batch": batch_of_spans,
    "batch-again": repeated_span,
    "running": task_beside_running_ones,
    "openllmetry": openllmetry_agent,
    "openinference": openinference_agent,
    "crowd": crowded_tasks,
    "journal": task_behind_long_journal,
    "health": health_command,
    "report": report_command,
    "permit": permit_of_closed_breaker,
    "exec": exec_command,
    "hook": gate_of_closed_breaker,
    "hook-open": gate_of_open_breaker,
    "hook-probe": gate_of_probe,
    "hook-history": gate_behind_long_history,
    "hook-record": recorder_of_run,
    "big-health": health_of_big_home,
    "big-hook": gate_of_big_home,
    "big-doctor": doctor_of_big_home,
    "big-history": history_of_big_home,
    "big-lost": task_without_document,
    "hook-long": recorder_of_long_run,
    "usage": usage_of_a_week,
    "past": usage_of_the_past,
    "import": import_of_the_past,
    "import-again": second_import,
    "fold-imported": fold_of_imported_ends,
    "scrape": unchanged_scrape,
    "scrape-changed": changed_scrape,
}
_LINE = "{:<40}  {:>10}  {:>10}  {:>6}  {:>6}  {}"


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Ratios to baselines of the same run.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(_MEASUREMENTS))
    names = parser.parse_args().names or list(_MEASUREMENTS)
    unknown = [name for name in names if name not in _MEASUREMENTS]
    if unknown:
        parser.error(f"no such measurement: {unknown[0]}; there are {', '.join(_MEASUREMENTS)}")
    print(f"Python {sys.version.split()[0]}")
    print(_LINE.format("", "ours", "baseline", "ratio", "bound", "").rstrip())
    # Here and not in the system's temporary folder, which may be no disk.
    with tempfile.TemporaryDirectory(prefix=".benchmarks-", dir=os.getcwd()) as folder:
        for name in names:
            print(_shown(_MEASUREMENTS[name](folder)), flush=True)


def _shown(row: Row) -> str:
    show = _rate if row.is_rate else _time
    bound = "-" if row.bound is None else f"{'>' if row.is_rate else '<'} {row.bound:g}"
    verdict = "over" if row.is_over else ""
    return _LINE.format(row.name, show(row.ours), show(row.baseline), f"{row.ratio:.2f}", bound, verdict).rstrip()


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds >= 0.01 else f"{seconds * 1e6:,.0f} us"


def _rate(a_second: float) -> str:
    return f"{a_second:,.0f} /s"


if __name__ == "__main__":
    main()
