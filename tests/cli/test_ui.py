"""`otel-tracker ui`, and `report --format html`: the page in a browser, and as a file."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from otel_tracker import MetricTracker, TaskTracker
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.builders import AGENT, end
from tests.shown import Run
from tests.waiting import until


@pytest.mark.processes
def test_ui_serves_the_page_and_opens_it_in_the_browser(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, browser = tmp_path / "opened", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}.new && mv {opened}.new {opened}\n')
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("BROWSER", str(browser))
    command = [sys.executable, "-m", "otel_tracker", "ui", "--home", home.folder, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until(opened.exists, process)
        address = opened.read_text().strip()
        with urllib.request.urlopen(address) as answer:  # noqa: S310 - of this test's own server
            assert "<title>Fleet" in answer.read().decode()
        process.send_signal(signal.SIGTERM)
        said, complaints = process.communicate(timeout=30)
    assert address in said
    assert (process.returncode, complaints) == (0, "")


@pytest.mark.processes
def test_ui_takes_a_free_port_where_the_usual_one_is_taken(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROWSER", "true")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 9464))
            taken.listen()
        except OSError:
            pass  # another process has it: that is as good
        command = [sys.executable, "-m", "otel_tracker", "ui", "--home", home.folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            said = process.stdout.readline()
            process.terminate()
            process.communicate(timeout=30)
    port = re.search(r"http://127\.0\.0\.1:(\d+)/", said)
    assert port
    assert port[1] != "9464"


def test_the_report_in_html_is_one_file_that_loads_nothing(home: Home, run: Run, tracker: MetricTracker) -> None:
    with TaskTracker(AGENT, tracker=tracker) as task:
        task.set_failed("<script>alert(1)</script>")
    assert (
        run("report", "--format", "html", "-o", f"{home.folder}/report.html")[1] == f"wrote {home.folder}/report.html\n"
    )
    text = Path(home.folder, "report.html").read_text()
    assert "Needs attention" in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script" not in text
    assert not re.search(r"""(?:src|href)="[^#"]""", text)
    targets = set(re.findall(r'href="#([^"]*)"', text))
    assert targets == {"agent-0"}
    assert targets <= set(re.findall(r'id="([^"]*)"', text))
    ids = re.findall(r'id="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    assert re.search(r"default-src 'none'; style-src 'sha256-[\w+/=]+'", text)


def test_the_report_in_html_has_a_window_and_goes_to_standard_output(home: Home, run: Run) -> None:
    Store(home).record([end("a"), end("f", after=60, agent="ui/designer.md")])  # in February
    assert "ui/designer.md" not in re.sub(
        r'<details class="idle".*?</details>', "", run("report", "--format", "html")[1], flags=re.DOTALL
    )
    text = run("report", "--format", "html", "--since", "2026-02-15", "--until", "2026-02-15", "--utc")[1]
    assert text.startswith("<!doctype html>")
    assert "from 2026-02-15 until 2026-02-15" in text
    assert '<article id="agent-1"' in text
    assert "12:01:00" in text


def test_an_empty_home_has_a_report_too(run: Run) -> None:
    assert "No agents yet" in run("report", "--format", "html")[1]


def test_a_transcript_is_found_by_session_and_agent(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from otel_tracker.cli.page import page_of

    folder = tmp_path / "claude" / "projects" / "-src-shop"
    (folder / "s1" / "subagents").mkdir(parents=True)
    (folder / "s1.jsonl").touch()
    transcript = folder / "s1" / "subagents" / "agent-a1.jsonl"
    transcript.touch()
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "claude"))
    store = Store(home)
    store.record(
        [end("r", conversation_id="s1", agent_id="a1"), end("q", after=61, conversation_id="../s1", agent_id="a1")]
    )
    assert str(transcript) in page_of(store).answer("/run?id=r").body.decode()
    assert "none that is known here" in page_of(store).answer("/run?id=q").body.decode()
    os.unlink(transcript)
    assert "none that is known here" in page_of(store).answer("/run?id=r").body.decode()
