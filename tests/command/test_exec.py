"""`otel-tracker exec`: real commands, in real processes, on pipes and on a terminal."""

import hashlib
import json
import os
import pty
import random
import select
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from otel_tracker import MetricTracker, TaskTracker
from otel_tracker.command.tee import Tee
from otel_tracker.runtime.owner import process_start
from otel_tracker.storage import lock
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.telemetry.trace_context import SpanContext, new_span
from tests.waiting import BOUND, until

pytestmark = pytest.mark.processes

AGENT, OTHER = "core/coder.md", "core/debugger.md"
FOREVER = "while :; do sleep 0.01; done"  # a shell may miss a signal that comes when it starts a longer sleep
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
EXEC = [sys.executable, "-m", "otel_tracker", "exec"]

# The same with a short grace, and pauses between attempts that are as long as the first argument says.
_HURRIED = """
import pathlib, sys
from otel_tracker.tracking import retry
from otel_tracker.cli import main
from otel_tracker.command.child import Children

def backoff(state):
    pathlib.Path("pausing").touch()
    return float(sys.argv[1])

Children.__init__.__defaults__ = (0.3,)
retry._backoff = backoff
sys.exit(main(["exec", *sys.argv[2:]]))
"""
HURRIED = [sys.executable, "-c", _HURRIED, "0"]

# The same, and somebody asks us to end just when we write to the home with the method that the first argument names.
_DISTURBED = """
import os, signal, sys
from otel_tracker.cli import main
from otel_tracker.storage.recorder import Recorder

name = sys.argv[1]
write = getattr(Recorder, name)

def disturbed(recorder, event):
    os.kill(os.getpid(), signal.SIGTERM)
    write(recorder, event)

setattr(Recorder, name, disturbed)
sys.exit(main(["exec", *sys.argv[2:]]))
"""
DISTURBED = [sys.executable, "-c", _DISTURBED]


class Tracked:
    """Runs commands as tasks in a home of their own, and tells what was recorded of them."""

    def __init__(self, home: Home, folder: Path) -> None:
        self.home, self.folder = home, folder

    def start(self, *arguments: str, start: "list[str] | None" = None, **known: Any) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, "OTEL_TRACKER_HOME": self.home.folder, **known.pop("more", {})}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **known}
        line = [*(start or EXEC), *arguments]
        return subprocess.Popen(line, env=environment, cwd=self.folder, start_new_session=True, **pipes)

    def run(self, *arguments: str, sent: bytes = b"", **known: Any) -> "subprocess.CompletedProcess[bytes]":
        process = self.start(*arguments, **{"stdin": subprocess.PIPE, **known})
        out, err = process.communicate(sent, timeout=BOUND)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def sh(self, script: str, *options: str, **known: Any) -> "subprocess.CompletedProcess[bytes]":
        """Run a shell script as a task of AGENT."""
        return self.run(AGENT, *options, "--", "sh", "-c", script, **known)

    @property
    def tracker(self) -> MetricTracker:
        return MetricTracker(self.home.document)

    @property
    def events(self) -> "list[dict[str, Any]]":
        """The history, oldest first."""
        return self.tracker.get_history()

    @property
    def event(self) -> "dict[str, Any]":
        """The only entry of the history."""
        (only,) = self.events
        return only

    def path(self, name: str) -> Path:
        return self.folder / name


@pytest.fixture
def tracked(home: Home, tmp_path: Path) -> Tracked:
    return Tracked(home, tmp_path)


def is_ended(pid: int) -> bool:
    return process_start(pid) in (None, "ended")


def fail(tracker: MetricTracker, *agents: str) -> None:
    for agent in agents:
        for _ in range(5):
            with TaskTracker(agent, tracker=tracker) as task:
                task.set_failed("broken")


def configure(tracker: MetricTracker, agent: str, **config: Any) -> None:
    """Write an agent's settings into the document, as somebody with an editor does."""
    tracker.register_agent(agent, agent)
    tracker.save(backup=False)
    document = json.loads(tracker.config_file.read_bytes())
    document["agents"][agent]["config"] = config
    tracker.config_file.write_text(json.dumps(document))


# What comes of a command.


def test_a_command_that_succeeds_is_a_completed_task(tracked: Tracked) -> None:
    done = tracked.run(AGENT, "--model", "opus", "--task-id", "fix-1", "--", "sh", "-c", "echo out; echo err >&2")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"out\n", b"err\n")
    event = tracked.event
    assert (event["action"], event["agent"], event["model"], event["task_id"]) == (
        "task_completed",
        AGENT,
        "opus",
        "fix-1",
    )
    assert event["tokens_used"] is None
    assert "attempts" not in event
    assert tracked.tracker.get_system_metrics()["successful"] == 1


def test_arguments_reach_the_command_as_they_are(tracked: Tracked) -> None:
    done = tracked.run(AGENT, "--", "printf", "%s|", "--model", "a b", "", "--", "*", "é")
    assert done.stdout.decode() == "--model|a b||--|*|é|"


def test_a_command_that_fails_is_a_failed_task_and_its_status_is_kept(tracked: Tracked) -> None:
    assert tracked.sh("exit 7").returncode == 7
    assert (tracked.event["action"], tracked.event["error"]) == ("task_failed", "exit status 7")


def test_a_command_that_is_not_there_ends_with_127_and_is_not_tried_again(tracked: Tracked) -> None:
    done = tracked.run(AGENT, "--retries", "3", "--", "no-such-command-here", start=HURRIED)
    assert (done.returncode, done.stdout) == (127, b"")
    assert b"cannot run no-such-command-here: No such file or directory" in done.stderr
    assert tracked.event["action"] == "task_failed"
    assert tracked.event["error"].startswith("cannot run no-such-command-here")
    assert "attempts" not in tracked.event


def test_a_command_that_cannot_be_executed_ends_with_126(tracked: Tracked) -> None:
    tracked.path("text").write_text("no program")
    assert tracked.run(AGENT, "--", "./text").returncode == 126
    assert tracked.run(AGENT, "--", "/").returncode == 126
    assert [event["action"] for event in tracked.events] == ["task_failed"] * 2


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_a_standard_error_that_takes_nothing_does_not_keep_a_failure_from_being_recorded(
    tracked: Tracked, redirection: str
) -> None:
    line = ["sh", "-c", f'exec "$@" {redirection}', "sh", *EXEC]
    assert tracked.run(AGENT, "--", "no-such-command-here", start=line).returncode == 127
    assert tracked.event["action"] == "task_failed"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGPIPE])
def test_a_command_that_a_signal_ends_is_a_failed_task_and_we_end_by_the_same(
    tracked: Tracked, number: signal.Signals
) -> None:
    assert tracked.sh(f"kill -{number} $$").returncode == -number
    assert tracked.event["action"] == "task_failed"
    assert tracked.event["error"] == f"ended by a signal: {signal.strsignal(number)}"


@pytest.mark.parametrize("arguments", [[AGENT], [AGENT, "--"], [AGENT, "make"], ["--", "make"]])
def test_without_a_command_the_usage_is_wrong(tracked: Tracked, arguments: list[str]) -> None:
    done = tracked.run(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"otel-tracker" in done.stderr
    assert not Path(tracked.home.folder).exists()


def test_a_user_that_forgets_the_command_reads_where_it_belongs(tracked: Tracked) -> None:
    assert b"behind --, such as: otel-tracker exec core/coder.md -- make" in tracked.run(AGENT).stderr


@pytest.mark.parametrize("option", [["--task-id", " "], ["--model", "a\nb"], ["--fallback", ""]])
def test_what_cannot_be_recorded_is_refused_before_the_command_runs(tracked: Tracked, option: list[str]) -> None:
    done = tracked.run(AGENT, *option, "--", "touch", "ran")
    assert done.returncode == 1
    assert b"cannot use" in done.stderr
    assert not tracked.path("ran").exists()


def test_a_document_behind_a_link_keeps_its_journal_with_the_link(tracked: Tracked) -> None:
    shared, config = tracked.path("shared"), Path(tracked.home.folder) / "config"
    shared.mkdir()
    config.mkdir(parents=True)
    (config / "circuit-breaker.json").symlink_to(shared / "team.json")
    assert tracked.sh("exit 0").returncode == 0
    assert (Path(tracked.home.folder) / "journal").is_dir()
    assert json.loads((shared / "team.json").read_bytes())["metrics"]["successful"] == 1


# Time.


@pytest.mark.parametrize(
    "script",
    [
        'sh -c "sh -c \'trap \\"\\" TERM; touch stubborn; sleep 1000\' & sleep 1000" & sleep 1000',
        "trap '' TERM; touch stubborn; sh -c 'sleep 1000' & sleep 1000",
    ],
    ids=["a grandchild", "all of them"],
)
def test_at_its_timeout_a_command_ends_with_all_its_offspring_even_if_that_ignores_the_request(
    tracked: Tracked, script: str
) -> None:
    done = tracked.sh(f"echo $$ > group; {script}", "--timeout", "2", start=HURRIED)
    assert done.returncode == 124
    assert tracked.path("stubborn").exists()
    group = int(tracked.path("group").read_text())
    members = [int(stat.parent.name) for stat in Path("/proc").glob("[0-9]*/stat") if _group_of(stat) == group]
    until(lambda: all(is_ended(pid) for pid in members))
    assert (tracked.event["action"], tracked.event["error"]) == ("task_failed", "timed out after 2 s")


def _group_of(stat: Path) -> int | None:
    with suppress(OSError):
        return int(stat.read_text(errors="replace").rpartition(")")[2].split()[2])
    return None


def test_at_its_timeout_a_command_may_put_its_things_in_order(tracked: Tracked) -> None:
    done = tracked.sh(f"trap 'echo in order; exit 0' TERM; {FOREVER}", "--timeout", "1")
    assert (done.returncode, done.stdout) == (124, b"in order\n")
    assert tracked.event["action"] == "task_failed"


def test_a_stopped_command_ends_at_its_timeout_too(tracked: Tracked) -> None:
    assert tracked.sh("kill -STOP $$", "--timeout", "1").returncode == 124


def test_a_command_that_ends_in_time_is_not_touched(tracked: Tracked) -> None:
    assert tracked.sh("exit 3", "--timeout", "1h").returncode == 3
    assert tracked.event["error"] == "exit status 3"


# Signals. A command can send them to its parent, which is us.


def test_ctrl_c_reaches_the_command_and_cancels_the_task(tracked: Tracked) -> None:
    assert tracked.sh(f"kill -INT $PPID; {FOREVER}").returncode == -signal.SIGINT
    assert (tracked.event["action"], tracked.event["reason"]) == ("task_cancelled", "interrupted")
    assert tracked.tracker.get_agent_metrics(AGENT)["failures"] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_command_answers_a_request_to_end_as_it_likes(tracked: Tracked, number: signal.Signals) -> None:
    done = tracked.sh(f"trap 'echo got it; exit 3' {number}; kill -{number} $PPID; {FOREVER}")
    assert (done.returncode, done.stdout) == (3, b"got it\n")
    assert tracked.event["action"] == "task_cancelled"


def test_a_request_to_end_cancels_and_is_passed_on(tracked: Tracked) -> None:
    assert tracked.sh(f"kill -TERM $PPID; {FOREVER}").returncode == -signal.SIGTERM
    assert tracked.event["action"] == "task_cancelled"


def test_a_cancelled_command_is_neither_repeated_nor_handed_to_a_fallback(tracked: Tracked) -> None:
    options = ["--retries", "3", "--fallback", OTHER]
    assert tracked.sh(f"kill -INT $PPID; {FOREVER}", *options, start=HURRIED).returncode == -signal.SIGINT
    assert tracked.event["action"] == "task_cancelled"


def test_a_user_that_asks_an_overdue_command_to_end_ends_its_retries_too(tracked: Tracked) -> None:
    script = f"trap 'kill -TERM $PPID' TERM; {FOREVER}"
    done = tracked.sh(script, "--timeout", "1", "--retries", "3", start=HURRIED)
    assert done.returncode == -signal.SIGKILL
    assert tracked.event["action"] == "task_cancelled"
    assert "attempts" not in tracked.event


def test_a_request_to_end_between_two_attempts_ends_us_by_that_signal(tracked: Tracked) -> None:
    line = [*HURRIED[:-1], "1000"]
    process = tracked.start(AGENT, "--retries", "3", "--", "false", start=line)
    until(tracked.path("pausing").exists)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=BOUND)
    assert process.returncode == -signal.SIGTERM
    assert tracked.event["action"] == "task_cancelled"


def test_a_request_to_end_before_the_command_runs_cancels_the_task(tracked: Tracked) -> None:
    done = tracked.run(AGENT, "--", "touch", "ran", start=[*DISTURBED, "announce"])
    assert done.returncode == -signal.SIGTERM
    assert tracked.event["action"] == "task_cancelled"
    assert not tracked.path("ran").exists()


def test_a_request_to_end_once_the_command_has_ended_changes_nothing_in_what_is_recorded(tracked: Tracked) -> None:
    assert tracked.run(AGENT, "--", "true", start=[*DISTURBED, "record"]).returncode == 0
    assert tracked.event["action"] == "task_completed"


def test_after_a_request_to_end_no_fallback_begins(tracked: Tracked) -> None:
    done = tracked.run(AGENT, "--fallback", OTHER, "--", "false", start=[*DISTURBED, "record"])
    assert done.returncode == 1
    assert (tracked.event["agent"], tracked.event["action"]) == (AGENT, "task_failed")


def test_other_signals_are_passed_on_and_change_nothing_else(tracked: Tracked) -> None:
    done = tracked.sh(f"trap 'exit 0' USR1; kill -USR1 $PPID; {FOREVER}")
    assert done.returncode == 0
    assert tracked.event["action"] == "task_completed"


def test_the_whole_group_of_the_command_gets_a_signal(tracked: Tracked) -> None:
    script = f"sh -c 'trap \"touch heard; exit\" USR2; touch ready; {FOREVER}' & trap : USR2"
    waiting = "while [ ! -e ready ]; do sleep 0.01; done; kill -USR2 $PPID; wait; wait"
    assert tracked.sh(f"{script}; {waiting}").returncode == 0
    assert tracked.path("heard").exists()


def test_a_signal_that_is_ignored_stays_ignored(tracked: Tracked) -> None:
    line = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *EXEC]
    done = tracked.sh("kill -HUP $PPID; kill -HUP $$; echo still here", start=line)
    assert (done.returncode, done.stdout) == (0, b"still here\n")
    assert tracked.event["action"] == "task_completed"


def test_a_process_that_is_killed_leaves_a_task_that_is_lost_with_the_next_event(tracked: Tracked) -> None:
    assert tracked.sh("kill -KILL $PPID").returncode == -signal.SIGKILL
    assert tracked.run(OTHER, "--", "true").returncode == 0
    assert sorted((event["agent"], event["action"]) for event in tracked.events) == [
        (AGENT, "task_lost"),
        (OTHER, "task_completed"),
    ]


# The breaker.


def test_a_refused_command_does_not_run_and_the_refusal_says_until_when_and_which_agent_instead(
    tracked: Tracked,
) -> None:
    fail(tracked.tracker, AGENT)
    configure(tracked.tracker, AGENT, fallbacks=[OTHER])
    done = tracked.run(AGENT, "--task-id", "t1", "--", "touch", "ran")
    until_when = tracked.tracker.get_agent_metrics(AGENT)["blacklisted_until"]
    assert (done.returncode, done.stdout) == (75, b"")
    assert f"refused until {until_when}" in done.stderr.decode()
    assert f"use {OTHER} instead" in done.stderr.decode()
    assert not tracked.path("ran").exists()
    assert tracked.tracker.get_agent(AGENT)["tallies"]["rejected"] == 1
    assert (tracked.events[-1]["action"], tracked.events[-1]["task_id"]) == ("task_rejected", "t1")


def test_without_a_gate_a_refused_agents_command_runs_all_the_same(tracked: Tracked) -> None:
    fail(tracked.tracker, AGENT)
    assert tracked.sh("echo ran", "--no-gate").stdout == b"ran\n"
    assert tracked.events[-1]["action"] == "task_completed"
    assert tracked.tracker.get_agent(AGENT)["tallies"]["rejected"] == 0


def test_a_fallback_runs_the_command_of_a_refused_agent(tracked: Tracked) -> None:
    fail(tracked.tracker, AGENT)
    done = tracked.run(AGENT, "--fallback", OTHER, "--", "printenv", "OTEL_TRACKER_AGENT")
    assert (done.returncode, done.stdout) == (0, f"{OTHER}\n".encode())
    event = tracked.events[-1]
    assert (event["agent"], event["fallback_for"], event["action"]) == (OTHER, AGENT, "task_completed")
    assert tracked.tracker.get_system_metrics()["fallback_used"] == 1


def test_a_fallback_runs_a_command_that_has_failed_as_a_task_of_its_own(tracked: Tracked) -> None:
    done = tracked.sh(f'test "$OTEL_TRACKER_AGENT" = {OTHER}', "--fallback", OTHER, "--fallback", "third.md")
    assert done.returncode == 0
    told = [(event["agent"], event["action"], event.get("fallback_for")) for event in tracked.events]
    assert told == [(AGENT, "task_failed", None), (OTHER, "task_completed", AGENT)]
    assert len({event["span_id"] for event in tracked.events}) == 2


def test_without_a_gate_fallbacks_run_what_has_failed(tracked: Tracked) -> None:
    done = tracked.run(AGENT, "--no-gate", "--fallback", OTHER, "--", "sh", "-c", "exit 4")
    assert done.returncode == 4
    assert [(event["agent"], event.get("fallback_for")) for event in tracked.events] == [(AGENT, None), (OTHER, AGENT)]


def test_where_all_are_refused_each_is_named(tracked: Tracked) -> None:
    fail(tracked.tracker, AGENT, OTHER)
    done = tracked.run(AGENT, "--fallback", OTHER, "--", "touch", "ran")
    assert done.returncode == 75
    assert AGENT.encode() in done.stderr
    assert OTHER.encode() in done.stderr
    assert not tracked.path("ran").exists()


# Another attempt.

THIRD_TIME = "echo x >> tries; test $(wc -l < tries) -ge 3"


def test_all_attempts_of_a_command_are_one_task(tracked: Tracked) -> None:
    assert tracked.sh(THIRD_TIME, "--retries", "5", start=HURRIED).returncode == 0
    assert (tracked.event["action"], tracked.event["attempts"]) == ("task_completed", 3)


def test_a_command_that_is_out_of_attempts_has_the_status_of_the_last(tracked: Tracked) -> None:
    assert tracked.sh("echo x >> tries; exit $(wc -l < tries)", "--retries", "2", start=HURRIED).returncode == 3
    assert (tracked.event["action"], tracked.event["attempts"]) == ("task_failed", 3)
    assert tracked.event["error"] == "exit status 3"


def test_nothing_is_tried_again_and_nothing_timed_unless_that_is_asked_for(tracked: Tracked) -> None:
    configure(tracked.tracker, AGENT, timeout_seconds=0.01, retry_attempts=5)
    assert tracked.sh("sleep 0.2; exit 3").returncode == 3
    assert "attempts" not in tracked.events[-1]


def test_timeout_retries_and_fallbacks_come_from_the_settings_if_that_is_asked_for(tracked: Tracked) -> None:
    configure(tracked.tracker, AGENT, timeout_seconds=0.5, retry_attempts=1, fallbacks=[OTHER])
    script = f'test "$OTEL_TRACKER_AGENT" = {OTHER} || exec sleep 1000'
    assert tracked.sh(script, "--from-config", start=HURRIED).returncode == 0
    failed, completed = tracked.events[-2:]
    assert (failed["agent"], failed["error"], failed["attempts"]) == (AGENT, "timed out after 0.5 s", 2)
    assert (completed["agent"], completed["fallback_for"]) == (OTHER, AGENT)


def test_what_the_command_line_says_comes_before_the_settings(tracked: Tracked) -> None:
    configure(tracked.tracker, AGENT, timeout_seconds=0.01, retry_attempts=5)
    done = tracked.sh("sleep 0.2; exit 3", "--from-config", "--timeout", "1h", "--retries", "0", start=HURRIED)
    assert done.returncode == 3
    assert "attempts" not in tracked.events[-1]


def test_there_is_no_other_attempt_once_the_breaker_is_open(tracked: Tracked) -> None:
    opening = shlex.join([sys.executable, "-m", "otel_tracker", "breaker", AGENT, "open"])
    assert tracked.sh(f"{opening} > /dev/null; exit 6", "--retries", "3", start=HURRIED).returncode == 6
    assert "attempts" not in tracked.events[-1]


# Input and output.


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 50 MB of noise."""
    path = tmp_path_factory.mktemp("large") / "noise"
    path.write_bytes(random.Random(1).randbytes(50_000_000))  # noqa: S311 - not for secrets
    return path


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_large_binary_output_goes_through_a_pipe_unchanged(tracked: Tracked, large: Path) -> None:
    assert digest(tracked.run(AGENT, "--", "cat", str(large)).stdout) == digest(large.read_bytes())


def test_large_binary_output_goes_to_a_file_unchanged(tracked: Tracked, large: Path) -> None:
    with tracked.path("copy").open("wb") as copy:
        assert tracked.run(AGENT, "--", "cat", str(large), stdout=copy).returncode == 0
    assert digest(tracked.path("copy").read_bytes()) == digest(large.read_bytes())


def test_output_that_its_reader_cannot_take_at_once_is_not_lost(tracked: Tracked, large: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    process = tracked.start(AGENT, "--", "head", "-c", "1000000", str(large), stdout=writer)
    os.close(writer)
    with open(reader, "rb") as file:
        content = file.read()
    process.communicate(timeout=BOUND)
    assert process.returncode == 0
    assert digest(content) == digest(large.read_bytes()[:1_000_000])


def test_input_reaches_the_command_unchanged(tracked: Tracked) -> None:
    content = random.Random(2).randbytes(1_000_000)  # noqa: S311 - not for secrets
    assert tracked.run(AGENT, "--", "cat", sent=content).stdout == content


@pytest.mark.parametrize(("redirection", "number"), [("<&-", 0), (">&-", 1), ("2>&-", 2)])
def test_what_is_closed_for_us_is_closed_for_the_command(tracked: Tracked, redirection: str, number: int) -> None:
    line = ["sh", "-c", f'exec "$@" {redirection}', "sh", *EXEC]
    assert tracked.sh(f"test ! -e /proc/$$/fd/{number}", start=line).returncode == 0
    assert tracked.event["action"] == "task_completed"


def test_a_command_whose_reader_has_seen_enough_ends_as_in_a_pipeline(tracked: Tracked) -> None:
    process = tracked.start(AGENT, "--", "yes")
    assert process.stdout
    assert process.stdout.read(10) == b"y\n" * 5
    process.stdout.close()
    assert process.wait(BOUND) == -signal.SIGPIPE
    assert tracked.event["error"] == "ended by a signal: Broken pipe"
    assert process.stderr
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.parametrize("offspring", ["sleep 1000", "yes"])
def test_offspring_that_keeps_the_output_open_is_not_waited_for(tracked: Tracked, offspring: str) -> None:
    with tracked.path("output").open("wb") as output:
        script = f"{offspring} 2> /dev/null & echo $! > pid; echo done > /dev/stdout"
        assert tracked.sh(script, stdout=output, stderr=subprocess.DEVNULL).returncode == 0
    with suppress(ProcessLookupError):
        os.kill(int(tracked.path("pid").read_text()), signal.SIGKILL)
    assert b"done\n" in tracked.path("output").read_bytes()


def test_offspring_that_writes_faster_than_we_read_is_not_waited_for_either() -> None:
    is_writing = True

    def write_again(chunk: bytes) -> None:
        if is_writing:
            os.write(inlets[0], chunk)

    def copy() -> None:
        with Tee(outlet, write_again) as tee:
            inlets.append(os.dup(tee.inlet))
            os.write(inlets[0], b"x")
            tee.start()

    inlets: list[int] = []
    outlet = os.open(os.devnull, os.O_WRONLY)
    copying = threading.Thread(target=copy)
    copying.start()
    copying.join(BOUND)
    is_left = copying.is_alive()
    is_writing = False
    copying.join()
    for descriptor in (outlet, *inlets):
        os.close(descriptor)
    assert not is_left


def test_a_descriptor_that_was_left_open_reaches_the_command(tracked: Tracked) -> None:
    line = ["sh", "-c", 'exec "$@" 3> third', "sh", *EXEC]
    assert tracked.sh("echo hello >&3", start=line).returncode == 0
    assert tracked.path("third").read_text() == "hello\n"


def test_none_of_our_own_descriptors_reaches_the_command(tracked: Tracked) -> None:
    done = tracked.run(AGENT, "--", "ls", "/proc/self/fd")
    assert done.stdout.split() == [b"0", b"1", b"2", b"3"]  # the last is of ls itself


# Traces.


def told(tracked: Tracked, *options: str, **known: Any) -> list[str]:
    names = ["TRACEPARENT", "OTEL_TRACKER_AGENT", "OTEL_TRACKER_HOME", "OTEL_TRACKER_TASK_ID"]
    return tracked.run(AGENT, *options, "--", "printenv", *names, **known).stdout.decode().splitlines()


def test_a_command_gets_its_span_agent_home_and_task(tracked: Tracked) -> None:
    traceparent, *rest = told(tracked, "--task-id", "t1")
    assert rest == [AGENT, tracked.home.folder, "t1"]
    event, span = tracked.event, SpanContext.parse(traceparent)
    assert span
    assert (event["trace_id"], event["span_id"], span.flags) == (span.trace_id, span.span_id, "01")
    assert "parent_span_id" not in event


def test_a_home_that_is_named_from_here_is_passed_on_so_that_it_is_found_from_anywhere(tracked: Tracked) -> None:
    assert told(tracked, "--home", "there")[2] == str(tracked.path("there"))


def test_a_command_goes_on_with_the_trace_that_we_are_part_of(tracked: Tracked) -> None:
    span = SpanContext.parse(told(tracked, more={"TRACEPARENT": f"00-{TRACE}-{SPAN}-00"})[0])
    assert span
    assert (span.trace_id, span.flags) == (TRACE, "00")
    assert span.span_id != SPAN
    event = tracked.event
    assert (event["trace_id"], event["span_id"], event["parent_span_id"]) == (TRACE, span.span_id, SPAN)


def test_a_malformed_trace_is_as_good_as_none(tracked: Tracked) -> None:
    span = SpanContext.parse(told(tracked, more={"TRACEPARENT": f"00-{TRACE}-{SPAN}"})[0])
    assert span
    assert span.trace_id != TRACE
    assert "parent_span_id" not in tracked.event


@pytest.mark.parametrize(
    ("text", "span"),
    [
        (f"00-{TRACE}-{SPAN}-01", SpanContext(TRACE, SPAN, "01")),
        (f" 00-{TRACE}-{SPAN}-00 ", SpanContext(TRACE, SPAN, "00")),
        (f"cc-{TRACE}-{SPAN}-01", SpanContext(TRACE, SPAN, "01")),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", SpanContext(TRACE, SPAN, "01")),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE}-{SPAN}-1", None),
        (f"00-{TRACE}-{SPAN}", None),
        ("", None),
        (None, None),
    ],
)
def test_a_traceparent_is_read_as_its_specification_says(text: str | None, span: SpanContext | None) -> None:
    assert SpanContext.parse(text) == span


def test_what_is_handed_on_can_be_read_again() -> None:
    assert SpanContext.parse(str(new_span(None)))
    assert new_span(SpanContext(TRACE, SPAN, "00"))[::2] == (TRACE, "00")


# A terminal.

# What a shell does with one job, so far as it matters here; it is woken by a line.
_SHELL = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
job = os.fork()
if not job:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execvp(sys.argv[1], sys.argv[1:])
while os.WIFSTOPPED(status := os.waitpid(job, os.WUNTRACED)[1]):
    os.tcsetpgrp(0, os.getpgrp())
    print("job stopped", flush=True)
    input()
    os.tcsetpgrp(0, job)
    os.killpg(job, signal.SIGCONT)
os.tcsetpgrp(0, os.getpgrp())
print("job ended:", os.waitstatus_to_exitcode(status), flush=True)
"""
_NO_SHELL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
CTRL_C, CTRL_D, CTRL_Z = "\x03", "\x04", "\x1a"
ECHOING = 'echo ready; while read line; do echo "[$line]"; done'


class Terminal:
    """Somebody at a terminal, in whose shell commands run."""

    def __init__(self, tracked: Tracked) -> None:
        self._tracked, self._seen = tracked, ""
        self._ours, self._theirs = pty.openpty()
        self.shell: subprocess.Popen[bytes] | None = None

    def start(self, *line: str, shell: str = _SHELL) -> None:
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), self._theirs)
        self.shell = self._tracked.start(*line, start=[sys.executable, "-c", shell], **streams)

    def types(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def sees(self, text: str) -> None:
        """Wait until the terminal has shown a text, behind what has been seen before."""
        end = time.monotonic() + BOUND
        while text not in self._seen:
            ready, _, _ = select.select([self._ours], [], [], max(0.0, end - time.monotonic()))
            assert ready, self._seen
            self._seen += os.read(self._ours, 4096).decode()
        self._seen = self._seen.partition(text)[2]

    def close(self) -> None:
        if self.shell:
            self.shell.kill()
            self.shell.wait()
        os.close(self._ours)  # hangs up
        os.close(self._theirs)


@pytest.fixture
def terminal(tracked: Tracked) -> Iterator[Terminal]:
    terminal = Terminal(tracked)
    yield terminal
    terminal.close()


def of_agent(script: str) -> list[str]:
    return [*EXEC, AGENT, "--", "sh", "-c", script]


def test_on_a_terminal_the_command_has_it_too(terminal: Terminal, tracked: Tracked) -> None:
    terminal.start(*of_agent("test -t 0 && test -t 1 && test -t 2 && echo all three"))
    terminal.sees("all three")
    terminal.sees("job ended: 0")
    assert tracked.event["action"] == "task_completed"


def test_a_command_that_reads_from_the_terminal_gets_it(terminal: Terminal) -> None:
    terminal.start(*of_agent(ECHOING))
    terminal.types("one\n")
    terminal.sees("[one]")
    terminal.types(CTRL_D)
    terminal.sees("job ended: 0")


def test_a_process_after_the_command_has_the_terminal_back(terminal: Terminal) -> None:
    terminal.start("sh", "-c", f'{shlex.join(of_agent(ECHOING))}; read line; echo "<$line>"')
    terminal.types(f"one\n{CTRL_D}")
    terminal.sees("[one]")
    terminal.types("two\n")
    terminal.sees("<two>")
    terminal.sees("job ended: 0")


@pytest.mark.parametrize("is_reading", [False, True])
def test_ctrl_c_at_the_terminal_cancels(terminal: Terminal, tracked: Tracked, is_reading: bool) -> None:
    terminal.start(*of_agent(ECHOING if is_reading else f"echo ready; {FOREVER}"))
    terminal.sees("ready")
    if is_reading:
        terminal.types("one\n")
        terminal.sees("[one]")
    terminal.types(CTRL_C)
    terminal.sees(f"job ended: {-signal.SIGINT}")
    assert tracked.event["action"] == "task_cancelled"


def test_ctrl_z_stops_a_command_that_reads_from_the_terminal_until_it_may_go_on(
    terminal: Terminal, tracked: Tracked
) -> None:
    terminal.start(*of_agent(ECHOING))
    for word in ("one", "two"):
        terminal.types(f"{word}\n")
        terminal.sees(f"[{word}]")
        terminal.types(CTRL_Z)
        terminal.sees("job stopped")
        terminal.types("\n")
    terminal.types("three\n")
    terminal.sees("[three]")
    terminal.types(CTRL_D)
    terminal.sees("job ended: 0")
    assert tracked.event["action"] == "task_completed"


def test_ctrl_z_stops_a_command_that_does_not_use_the_terminal_until_it_may_go_on(
    terminal: Terminal, tracked: Tracked
) -> None:
    # A loop that starts programs would not do: dash forks by vfork(2), and stops for nobody while its child is stopped in it.
    terminal.start(*of_agent("echo ready; while [ ! -e go ]; do :; done; echo gone"))
    terminal.sees("ready")
    terminal.types(CTRL_Z)
    terminal.sees("job stopped")
    tracked.path("go").touch()
    terminal.types("\n")
    terminal.sees("gone")
    terminal.sees("job ended: 0")


def test_ctrl_z_stops_the_script_that_we_are_in_as_well(terminal: Terminal) -> None:
    terminal.start("sh", "-c", f"{shlex.join(of_agent(ECHOING))}; echo after")
    terminal.types("one\n")
    terminal.sees("[one]")
    terminal.types(CTRL_Z)
    terminal.sees("job stopped")
    terminal.types("\n")
    terminal.types(f"two\n{CTRL_D}")
    terminal.sees("[two]")
    terminal.sees("after")
    terminal.sees("job ended: 0")


def test_where_no_shell_could_wake_it_ctrl_z_does_not_stop_a_command(terminal: Terminal) -> None:
    terminal.start(*of_agent(ECHOING), shell=_NO_SHELL)
    terminal.types("one\n")
    terminal.sees("[one]")
    terminal.types(CTRL_Z)
    terminal.types("two\n")
    terminal.sees("[two]")
    terminal.types(CTRL_D)
    assert terminal.shell
    assert terminal.shell.wait(BOUND) == 0


def test_what_asks_for_a_format_is_looked_at_even_on_a_terminal(terminal: Terminal, tracked: Tracked) -> None:
    result = json.dumps({"type": "result", "session_id": "c1", "usage": {"input_tokens": 5}, "total_cost_usd": 0.1})
    terminal.start(*of_agent(f"echo '{result}'"), "--output-format", "json")
    terminal.sees("job ended: 0")
    assert (tracked.event["conversation_id"], tracked.event["tokens_used"]) == ("c1", 5)


# What has gone wrong once.


def test_a_command_that_a_signal_ends_leaves_its_events_where_the_home_cannot_be_written(tracked: Tracked) -> None:
    fail(tracked.tracker, OTHER)
    locks = [tracked.home.append_lock, tracked.home.document_lock]
    with ExitStack() as held:
        for path in locks:
            held.enter_context(lock.held(path, Files()))
        done = tracked.sh("kill -TERM $$")
    assert done.returncode == -signal.SIGTERM
    assert len(os.listdir(tracked.home.unwritten)) == 1
    with TaskTracker(OTHER, tracker=tracked.tracker):
        pass
    assert [entry["action"] for entry in tracked.tracker.get_history(AGENT)] == ["task_failed"]


def test_a_command_that_has_gone_into_another_group_ends_at_its_timeout_all_the_same(tracked: Tracked) -> None:
    gone = "import os, time; os.setpgid(0, os.getpgid(os.getppid())); time.sleep(1000)"
    done = tracked.run(AGENT, "--timeout", "1", "--", sys.executable, "-c", gone)
    assert (done.returncode, tracked.event["error"]) == (124, "timed out after 1 s")


def test_a_parent_that_has_blocked_signals_gets_the_end_all_the_same(tracked: Tracked) -> None:
    block = "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD, signal.SIGTERM])"
    start = [sys.executable, "-c", f"{block}; os.execv(sys.argv[1], sys.argv[1:])", *EXEC]
    assert tracked.run(AGENT, "--", "sh", "-c", "exit 7", start=start).returncode == 7


def test_a_thousand_open_files_are_no_trouble(tracked: Tracked) -> None:
    opened = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))"
    many = "[os.set_inheritable(os.open(os.devnull, 0), True) for _ in range(1100)]"
    start = [sys.executable, "-c", f"{opened}; {many}; os.execv(sys.argv[1], sys.argv[1:])", *EXEC]
    done = tracked.run(AGENT, "--timeout", "9999999999d", "--", "echo", "hi", start=start)
    assert (done.returncode, done.stdout) == (0, b"hi\n")


def test_a_command_that_is_not_there_is_not_the_agents_fault(tracked: Tracked) -> None:
    for _ in range(6):
        assert tracked.run(AGENT, "--", "no-such-command-anywhere").returncode == 127
    assert tracked.events[-1]["environment_error"] == "command"
    assert tracked.tracker.get_agent_metrics(AGENT)["failures"] == 0


def test_what_is_done_beyond_running_the_command_is_said(tracked: Tracked) -> None:
    done = tracked.run(AGENT, "--timeout", "1", "--fallback", OTHER, "--", "sh", "-c", "sleep 1000")
    said = done.stderr.decode()
    assert f"otel-tracker: {AGENT}: timed out after 1 s\n" in said
    assert f"otel-tracker: {OTHER} runs it instead of {AGENT}\n" in said
