"""`otel-tracker init`: the home's folders, its document, its agents, and the drop-in module. Safe to repeat."""

import os
import sys
import time
from importlib.util import find_spec

from otel_tracker import names
from otel_tracker.cli.stores import store_of
from otel_tracker.cli.terminal import plain
from otel_tracker.integrations.agent_files import agent_files
from otel_tracker.state import event
from otel_tracker.storage import claim, mounts
from otel_tracker.storage.files import Files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from otel_tracker.storage.port import Port

_MADE_BY = b"Made by `otel-tracker init`"
_DROP_IN = "metric_tracker.py"


def init(options: "Namespace") -> int:
    """Make the home, register its agents, write the drop-in module, and print what was done."""
    print(make_home(store_of(options)))
    return 0


def make_home(store: "Port") -> str:
    """Make the home, register its agents, write the drop-in module, and return what was done, for people."""
    home, files = store.home, Files()
    claim.check(home, files)
    for folder in (os.path.dirname(home.document), home.journal, home.backups, home.scripts):
        files.make_folder(folder)
    is_new = files.signature(home.document) is None
    if is_new:
        store.rewrite()
    added = register_agents(store)
    module = os.path.join(home.scripts, _DROP_IN)
    kept = keep_foreign_module(module, files)
    files.replace(module, [_drop_in().encode()])
    warning = mounts.warning_about(home.folder)
    lines = [
        f"home:     {home.folder}",
        *([f"note:     {warning}"] if warning else []),
        f"document: {home.document} ({'new' if is_new else 'kept'})",
        f"agents:   {len(store.read().agents)} registered, {added} of them now",
        f"module:   {module}" + (f" (the file that was there is now {kept})" if kept else ""),
    ]
    return "\n".join(map(plain, lines))


def keep_foreign_module(module: str, files: Files) -> "str | None":
    """Keep a module that this command did not make as a copy, and return its path; None if there is none."""
    read = files.read(module)
    if read is None or _MADE_BY in read[1]:
        return None
    number = 1
    while not files.create(copy := f"{module}.before-otel-tracker.{number}", read[1]):
        number += 1
    return copy


def register_agents(store: "Port") -> int:
    """Register the home's agent files that are not registered yet, and return how many these were."""
    agents = store.read().agents
    new = [
        (key, name)
        for key, name in agent_files(store.home.folder)
        if name is not None and agents.get(key, {}).get("name") != name
    ]
    if new:
        store.record([event.happened(names.AGENT_REGISTERED, time.time(), agent=key, name=name) for key, name in new])
    return len(new)


def _drop_in() -> str:
    return _TEMPLATE.format(interpreter=sys.executable or "", roots=_roots())


def _roots() -> "list[str]":
    """Return the folders or zip files from which this Python imports the package and what it needs."""
    roots: list[str] = []
    for name in ("otel_tracker", "otel_tracker_exporters", "opentelemetry.sdk", "prometheus_client", "yaml"):
        try:
            spec = find_spec(name)
        except ModuleNotFoundError:  # of the package around it
            spec = None
        for folder in (spec.submodule_search_locations or ())[:1] if spec else ():
            root = os.path.abspath(folder)
            for _ in name.split("."):
                root = os.path.dirname(root)
            if root not in roots:
                roots.append(root)
    return roots


_TEMPLATE = '''\
"""The Metrics Tracker of the v7.0 specification, over the package otel-tracker. Made by `otel-tracker init`.

Its home is the parent of the folder that it stands in. To change it, run `otel-tracker init` again.
"""

import os
import sys

__all__ = ["MetricTracker", "TaskTracker", "track_agent"]  # for: from metric_tracker import *
HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
INTERPRETER = {interpreter!r}
ROOTS = {roots!r}
ADVICE = "install the package otel-tracker again, and run `otel-tracker init` to renew " + os.path.abspath(__file__)
TOO_OLD = sys.version_info < (3, 11) and "Python 3.11 or newer is needed: use " + INTERPRETER + ", or " + ADVICE
COMMAND = """
import sys
sys.path = [folder for folder in sys.path if folder] + %r
sys.argv[0] = "otel-tracker"
try:
    from otel_tracker.cli import main
    status = main()
except ImportError as error:
    status = "otel-tracker: " + str(error) + "; " + %r
sys.exit(status)
""" % (ROOTS, ADVICE)

try:
    TOO_OLD or __import__("otel_tracker")
except ImportError:  # another Python has the package
    sys.path.extend(ROOTS)


def __getattr__(name):
    if name.startswith("_"):
        raise AttributeError("the drop-in module has no attribute " + repr(name))
    if TOO_OLD:
        raise ImportError(TOO_OLD)
    try:
        from otel_tracker import dropin

        return dropin.bound(name, HOME)
    except ImportError as error:
        lost = str(error) + "; " + ADVICE
    raise ImportError(lost)


if __name__ == "__main__":
    os.environ["OTEL_TRACKER_HOME"] = HOME
    try:
        os.execv(INTERPRETER, [INTERPRETER, "-c", COMMAND] + sys.argv[1:])
    except (OSError, ValueError):  # it is gone: perhaps this Python can run the command
        exec("sys.exit('otel-tracker: ' + TOO_OLD)" if TOO_OLD else COMMAND)
'''
