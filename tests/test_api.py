"""docs/api.md has every public name, and is what the docstrings say."""

import builtins
import inspect
import re
from importlib import import_module

import pytest

import otel_tracker
from otel_tracker_exporters.prometheus_vitals import VitalsCollector
from tools import api

PAGE = api.PATH.read_text()
MODULES = [import_module(f"otel_tracker_exporters.{name}") for name in api.EXPORTERS]
NAMES = {name: getattr(otel_tracker, name) for name in otel_tracker.__all__}
EXPORTED = {name: one for module in MODULES for name, one in api.public_names(module).items()}
EVERY = {**NAMES, **EXPORTED}
every_name = pytest.mark.parametrize(("name", "one"), EVERY.items(), ids=list(EVERY))


def test_the_page_is_what_the_docstrings_say() -> None:
    VitalsCollector()  # from here on typing has given it an __init__, as it does with a class of a protocol
    assert api.page() == PAGE, "run: make api"


@every_name
def test_a_public_name_is_there_with_all_that_it_has(name: str, one: object) -> None:
    assert PAGE.count(f"\n### `{name}`\n") == 1
    documented = [one, *(api.members(one).values() if isinstance(one, type) else ())]
    for each in documented:
        text = inspect.getdoc(each)
        assert text, f"{name}: {each} has no docstring"
        assert text in PAGE or " ".join(text.split()) in PAGE


@pytest.mark.parametrize("method", ["arun", "get_history", "record_task_start", "select_agent"])
def test_a_method_has_an_entry_with_its_signature(method: str) -> None:
    function = getattr(otel_tracker.MetricTracker, method)
    entry = PAGE.partition(f"#### `MetricTracker.{method}`")[2].partition("\n#### ")[0]
    called = entry.partition("```python\n")[2].partition("\n```")[0]
    for name, parameter in inspect.signature(function).parameters.items():
        assert name == "self" or re.search(rf"\b{name}: ", called)
        if isinstance(parameter.default, int):
            assert f"{name}: int = {parameter.default}" in called


def test_errors_that_the_page_names_are_public() -> None:
    named = set(re.findall(r"\b[A-Z]\w+Error\b", PAGE))
    assert named <= {*otel_tracker.__all__, *vars(builtins)}


def test_what_callers_never_use_is_not_there() -> None:
    assert "TaskTracker.interrupted" not in PAGE
    assert "Permit.leave" not in PAGE
    assert "self" not in re.findall(r"\w+", " ".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)))
