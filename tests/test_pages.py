"""What docs/upgrade.md, docs/homes.md and docs/glossary.md say holds."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from otel_tracker import MetricTracker, TaskTracker, names
from otel_tracker.cli.parser import parser
from otel_tracker.reporting import attention
from otel_tracker.reporting.page import fleet
from otel_tracker.state.settings import Settings
from otel_tracker.storage import mounts
from otel_tracker.storage.home import Home
from otel_tracker.telemetry import metrics
from tests.places import ROOT

UPGRADE, HOMES, GLOSSARY = ((ROOT / "docs" / f"{name}.md").read_text() for name in ("upgrade", "homes", "glossary"))
WORDS = {
    word.strip(" `")
    for line in GLOSSARY.splitlines()
    if line.startswith("| ") and not line.startswith(("| word", "| :"))
    for word in line.split(" | ")[0].removeprefix("| ").split(", ")
}
TERMS = {
    *(outcome.replace("_", " ") for outcome in metrics.OUTCOMES),
    *(state.replace("_", " ") for state in (*metrics.STATES, *metrics.ORDERS, *names.STATUSES.values())),
    *(token_type.replace("_", " ") for token_type in names.TOKEN_TYPES),
    *(attention.CRITICAL, attention.WARNING, attention.INFO),
    *(
        "main conversation",
        "flapping",
        "overdue",
        "unpriced",
        "window",
        "p95",
        "probe",
        "fallback",
        "cooldown",
        "(other)",
    ),
}


@pytest.mark.parametrize("term", sorted(TERMS))
def test_the_glossary_has_the_terms_that_commands_page_and_metrics_show(term: str) -> None:
    assert term in WORDS


def test_the_glossary_has_each_word_once_and_architecture_none_of_them() -> None:
    rows = re.findall(r"^\| ([^|]+) \|", GLOSSARY, re.MULTILINE)
    words = [word for row in rows if row not in ("word", ":---") for word in row.split(", ")]
    assert len(words) == len(set(words))
    of_the_code = (ROOT / "docs" / "architecture.md").read_text().partition("## Words of the code")[2]
    assert not set(re.findall(r"^\| (\w+)", of_the_code, re.MULTILINE)) - {"word"} & set(words)


def test_the_names_of_the_pages_tiles_are_explained() -> None:
    source = Path(fleet.__file__).read_text()
    tiles = set(re.findall(r'Tile\(\s*"([\w ]+?)(?: ≈)?",', source))
    assert tiles == {"Running", "Blacklisted", "Success", "Cost", "Tokens", "Runs", "Refused"}
    for tile in tiles - {"Tokens"}:
        assert {tile.lower(), tile.lower().removesuffix("s"), f"{tile.lower()} rate"} & WORDS


@pytest.mark.parametrize("page", [UPGRADE, HOMES], ids=["upgrade", "homes"])
def test_the_commands_of_a_page_exist(page: str) -> None:
    found = re.findall(
        r"\botel-tracker ((?:claude-code|backups|agents|config|breaker|status|export|report|spans|doctor|reset|init|exec)\b[^`\n#;|>]*)",
        page,
    )
    assert len(found) > 8
    for line in found:
        words = re.sub(r'"[^"]*"', "text", line.partition(" -- ")[0].strip().rstrip(".,:")).split()
        parser().parse_args(words)


def test_homes_names_the_file_systems_that_doctor_names_and_the_settings_with_their_defaults() -> None:
    shown = {
        "cifs": "CIFS",
        "smb3": "SMB",
        "smbfs": "SMB",
        "ncpfs": "NCP",
        "nfs4": "NFS",
        "fuse.glusterfs": "GlusterFS",
    }
    for name in mounts.NETWORK:
        word = shown.get(name, name.removeprefix("fuse."))
        assert re.search(rf"\b{word}\b", HOMES, re.IGNORECASE), name
    assert f"`in_flight_max_hours` ({Settings.in_flight_max_hours})" in HOMES
    assert f"`probe_max_minutes` ({Settings.probe_max_minutes})" in HOMES


OTHERS = (
    "core/coder.md",
    "config/mine.json",
    "config/prices.json",
    "journal/notes.md",
    "archive/old.md",
    "backups/mine.json",
    "claude-code/agent.md",
    "scripts/tool.py",
)


@pytest.mark.processes
def test_starting_over_deletes_what_was_recorded_and_no_file_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = tmp_path / "user"
    folder = user / ".claude" / "agents"
    tracker = MetricTracker(Home(str(folder)).document)
    with TaskTracker("core/coder.md", tracker=tracker) as task:
        task.set_tokens_used(5)
    tracker.save()
    for name in ("journal/left-over", "claude-code/watched", "archive", "scripts", "core"):
        (folder / name).mkdir(parents=True)
    for name in (
        *OTHERS,
        "claude-code/s1.json",
        "claude-code/s1.json.lock",
        "claude-code/hook.log",
        "claude-code/imported",
    ):
        (folder / name).write_text("{}" if name.endswith("json") else "---\nname: one\n---\n")
    (block,) = re.findall(r"```bash\n(.*?)```", UPGRADE, re.DOTALL)
    deleting = block.replace("otel-tracker init", "")
    environment = {"HOME": str(user), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    subprocess.run(["bash", "-c", deleting], env=environment, check=False)
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == sorted(OTHERS)
    (kept,) = user.glob("otel-tracker-*.tar.gz")
    listed = subprocess.run(["tar", "tzf", str(kept)], capture_output=True, text=True, check=True).stdout
    assert {"config/circuit-breaker.json", "journal/1.jsonl"} <= set(listed.split())
    subprocess.run(
        [sys.executable, "-m", "otel_tracker", "init"],
        env={**environment, "PYTHONPATH": f"{ROOT}:{ROOT / 'exporters'}"},
        check=True,
    )
    monkeypatch.setenv("HOME", str(user))
    begun = MetricTracker(Home(str(folder)).document)
    assert begun.get_system_metrics()["total_requests"] == 0
    assert begun.get_agent_metrics("core/coder.md")["metrics"]["tasks_total"] == 0


@pytest.mark.processes
def test_the_runs_of_several_hosts_are_one_table_with_a_column_for_the_host(tmp_path: Path) -> None:
    (line,) = re.findall(r"^\$ (for host .* > runs\.jsonl)$", HOMES, re.MULTILINE)
    for host in ("alpha", "beta"):
        tracker = MetricTracker(Home(str(tmp_path / host)).document)
        with TaskTracker("core/coder.md", tracker=tracker):
            pass
    here = line.replace(
        'ssh "$host" otel-tracker export', f'{sys.executable} -m otel_tracker export --home "{tmp_path}/$host"'
    )
    path = f"{ROOT}:{ROOT / 'exporters'}"
    subprocess.run(["bash", "-c", here], cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": path}, check=True)
    runs = [json.loads(row) for row in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert [(run["host"], run["agent"]) for run in runs] == [("alpha", "core/coder.md"), ("beta", "core/coder.md")]
