"""Every part of a process hears of its forks and of its end, once and in order."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import otel_tracker
import otel_tracker_exporters

_PARTS = """
import os
from otel_tracker.runtime import lifecycle

class Part(lifecycle.Part):
    def __init__(self, name):
        self.name = name
        lifecycle.join(self)
    def before_fork(self): print(self.name, "before", flush=True)
    def after_fork(self): os.wait() if self.name == "a" else None; print(self.name, "after", flush=True)
    def renew(self): print(self.name, "renewed", lifecycle.forks, flush=True)
    def end(self):
        print(self.name, "ended", flush=True)
        if self.name == "b": raise OSError("full")

first, second, gone = Part("a"), Part("b"), Part("gone")
del gone
"""


def shown(code: str) -> list[str]:
    return subprocess.run(
        [sys.executable, "-c", _PARTS + code], capture_output=True, text=True, check=False
    ).stdout.splitlines()


def test_parts_end_in_the_opposite_order_of_joining_and_all_of_them_even_where_one_fails() -> None:
    assert shown("") == ["b ended", "a ended"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_parts_hear_of_a_fork_in_the_order_of_joining() -> None:
    code = "if not os.fork(): os._exit(0)\nos._exit(0)"
    assert shown(code) == ["a before", "b before", "a renewed 1", "b renewed 1", "a after", "b after"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_of_multiprocessing_ends_its_parts() -> None:
    code = """
import multiprocessing
child = multiprocessing.get_context("fork").Process(target=print, args=("worked",), kwargs={"flush": True})
child.start(); child.join()
os._exit(0)
"""
    lines = shown(code.replace("child.start", "Part.after_fork = lambda self: None; child.start"))
    assert lines[-3:] == ["worked", "b ended", "a ended"]


def test_no_other_module_registers_hooks() -> None:
    roots = [Path(str(package.__file__)).parent for package in (otel_tracker, otel_tracker_exporters)]
    texts = {path.name: path.read_text() for root in roots for path in root.rglob("*.py")}
    assert [name for name, text in texts.items() if "register_at_fork" in text or "atexit.register" in text] == [
        "lifecycle.py"
    ]
