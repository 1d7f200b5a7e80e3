"""Where prices are read: the package's, and a user's own, whose faults cost nobody the others."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from otel_tracker.storage import price_file
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.price_file import price_table
from tests.places import ROOT

NOW = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
MILLION = {"input": 1_000_000}


def write_own(home: Home, content: str) -> None:
    Path(home.prices).parent.mkdir(parents=True, exist_ok=True)
    Path(home.prices).write_text(content, encoding="utf-8")


def test_the_package_brings_prices_for_every_home(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    assert price_table(home, Files()).cost("claude-opus-5", MILLION, NOW) == 5_000_000
    assert not caplog.records


def test_a_home_has_its_own_prices_beside_the_document(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    assert home.prices == f"{home.folder}/config/prices.json"
    write_own(home, '{"note": "ours", "models": {"mine": {"input": 0.1, "output": 3}, "other": "claude-opus-5"}}')
    table = price_table(home, Files())
    assert [table.cost(model, MILLION, NOW) for model in ("mine", "other")] == [100_000, 5_000_000]
    assert not caplog.records


def test_the_example_of_the_documentation_is_a_table(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    (example,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "prices.md").read_text(), re.DOTALL)
    write_own(home, example)
    table, tokens = price_table(home, Files()), {"input": 200_000, "cache_read": 1}
    assert not caplog.records
    costs = [table.cost(model, tokens, NOW) for model in json.loads(example)["models"]]
    assert costs == [50_000, 1_000_000, 360_000, 400_002]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "$.models: expected an object with the prices of each model"),
        ('{"models": []}', "$.models: expected an object"),
        ('{"mine": {"input": 1, "output": 1}}', "$.models: expected an object"),
        ('{"models": {"mine": {"input": NaN, "output": 1}}}', '$.models["mine"].input: expected dollars'),
        ('{"models": {"claude-opus-5": {"input": 1, "output": 1}, "mine": {"input": 1}}}', '$.models["mine"].output'),
    ],
)
def test_a_fault_in_a_users_prices_is_a_warning_and_those_of_the_package_hold(
    home: Home, caplog: pytest.LogCaptureFixture, content: str, reason: str
) -> None:
    write_own(home, content)
    assert price_table(home, Files()).cost("claude-opus-5", MILLION, NOW) == 5_000_000
    (message,) = caplog.messages
    assert message.startswith(f"cannot read {home.prices}: ")
    assert reason in message
    assert message.endswith("correct it by hand, or delete it; until then the prices that the package brings hold")


def test_a_users_prices_that_cannot_be_read_are_a_warning(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    Path(home.prices).mkdir(parents=True)
    assert price_table(home, Files()).cost("claude-opus-5", MILLION, NOW) == 5_000_000
    assert f"cannot read {home.prices}" in caplog.text


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "there is no such file"), ("{", "not JSON"), ("[]", "$.models: expected an object")]
)
def test_without_the_packages_own_file_only_a_users_models_have_prices(
    home: Home,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    content: str | None,
    reason: str,
) -> None:
    packaged = tmp_path / "prices.json"
    if content is not None:
        packaged.write_text(content)
    monkeypatch.setattr(price_file, "PACKAGED", str(packaged))
    write_own(home, '{"models": {"mine": {"input": 1, "output": 1}}}')
    table = price_table(home, Files())
    assert [table.cost(model, MILLION, NOW) for model in ("mine", "claude-opus-5")] == [1_000_000, None]
    (message,) = caplog.messages
    assert message.startswith(f"cannot read {packaged}: {reason}")
    assert "until then no model but yours has a price" in message


@pytest.mark.processes
def test_the_prices_load_nothing_that_a_hook_has_no_time_for() -> None:
    code = (
        "import sys; from otel_tracker.storage.files import Files; from otel_tracker.storage.home import Home\n"
        "from otel_tracker.storage.price_file import price_table\n"
        "price_table(Home(sys.argv[1]), Files()).cost('claude-opus-5', {}, 0); print(*sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code, "/nowhere"], capture_output=True, text=True, check=True)
    heavy = {
        "logging",
        "typing",
        "decimal",
        "fractions",
        "argparse",
        "threading",
        "genai_prices",
        "pydantic",
        "opentelemetry",
    }
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    assert not heavy & (set(ran.stdout.split()) - set(bare.stdout.split()))
