"""`otel-tracker backups`: make, list and bring back copies of the document."""

import os

from otel_tracker.cli.stores import store_of
from otel_tracker.cli.terminal import plain, print_json, print_table
from otel_tracker.errors import command
from otel_tracker.reporting import wording
from otel_tracker.storage.restore import backup_rows, damaged_documents, restore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace


def backups_create(options: "Namespace") -> int:
    """Make a backup now."""
    store = store_of(options)
    path = store.back_up()
    make = command("init", home=store.home.option)
    print(plain(path or f"nothing to back up: {store.home.document} does not exist yet; make it with: {make}"))
    return 0 if path else 1


def backups_list(options: "Namespace") -> int:
    """Print all backups, oldest first, and the damaged documents that were set aside."""
    store = store_of(options)
    rows = backup_rows(store)
    if options.format == "json":
        print_json(rows)
        return 0
    shown = [
        (
            os.path.basename(row["path"]),
            wording.moment(row["made_at"]),
            row["bytes"],
            "damaged" if row["sequence"] is None else row["sequence"],
        )
        for row in rows
    ]
    print_table(("Name", "Made (UTC)", "Bytes", "Up to event"), shown, "llrr")
    for path in damaged_documents(store):
        print(f"set aside as damaged: {plain(path)}")
    return 0


def backups_restore(options: "Namespace") -> int:
    """Bring a backup back."""
    path, folded, discarded = restore(store_of(options), options.backup, discard_later=options.discard_later)
    print(f"restored {plain(path)}")
    print(f"{folded:,} later events were folded into it" + (f", {discarded:,} discarded" if discarded else ""))
    return 0
