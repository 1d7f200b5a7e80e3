"""`otel-tracker doctor`: what is wrong with the home, and what mends it. Status 1 if something is."""

from otel_tracker import doctor as doctors
from otel_tracker.cli.stores import store_of
from otel_tracker.cli.terminal import coloured, plain, print_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

_COLOURS = {doctors.OK: "32", doctors.NOTE: "33", doctors.WRONG: "31"}


def doctor(options: "Namespace") -> int:
    """Examine the home; with --repair after mending it."""
    done = doctors.repair(store_of(options)) if options.repair else []
    findings = doctors.examine(store_of(options))
    is_wrong = any(finding.level == doctors.WRONG for finding in findings)
    if options.format == "json":
        print_json({"is_wrong": is_wrong, "repaired": done, "findings": [finding._asdict() for finding in findings]})
        return int(is_wrong)
    for line in done:
        print(f"{coloured('mended', _COLOURS[doctors.OK])}  {plain(line)}")
    for finding in findings:
        print(f"{coloured(f'{finding.level:<6}', _COLOURS[finding.level])}  {finding.topic:<11}  {plain(finding.text)}")
        if finding.remedy:
            print(f"{'':<21}what to do: {plain(finding.remedy)}")
    print("something is wrong" if is_wrong else "nothing is wrong")
    return int(is_wrong)
