"""What applications import from the exporters."""

import subprocess
import sys
from importlib import import_module

import pytest

import otel_tracker_exporters


@pytest.mark.parametrize("name", otel_tracker_exporters.__all__)
def test_a_public_name_is_that_of_its_module(name: str) -> None:
    module = import_module(f"otel_tracker_exporters.{otel_tracker_exporters._MODULES[name]}")
    assert getattr(otel_tracker_exporters, name) is getattr(module, name)
    assert name in dir(otel_tracker_exporters)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = otel_tracker_exporters.Nothing


@pytest.mark.processes
def test_importing_the_package_loads_neither_the_sdk_nor_a_client_of_prometheus() -> None:
    code = "import sys, otel_tracker_exporters; print([m for m in sys.modules if m.startswith(('opentel', 'prom'))])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
