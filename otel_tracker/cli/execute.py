"""`otel-tracker exec`: any command as a task of an agent, whose breaker is asked first."""

from typing import TYPE_CHECKING

from otel_tracker import integrations, names
from otel_tracker.command.child import Children, end_like
from otel_tracker.command.command_task import CommandTask
from otel_tracker.errors import AgentBlacklistedError
from otel_tracker.integrations.outputs import Outputs
from otel_tracker.runtime.environment import chosen_home, variables
from otel_tracker.runtime.log import complain
from otel_tracker.state import event
from otel_tracker.storage.home import Home
from otel_tracker.storage.registry import recorder_of
from otel_tracker.tracking.gate import Admission, Gate

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from otel_tracker.tracking.retry import Retries

EXIT_USAGE = 2  # as argparse has it
EXIT_REFUSED = 75  # EX_TEMPFAIL of sysexits.h: try again later


def execute(options: "Namespace") -> int:
    """Run the command; return its exit status, or end by the signal that has ended it."""
    if not options.command_line:
        complain("there is no command: expected one behind --, such as: otel-tracker exec core/coder.md -- make")
        return EXIT_USAGE
    home = Home(chosen_home(options.home))
    recorder = recorder_of(home.config_file)
    gate, last = Gate(recorder), None
    environment = {**variables(), "OTEL_TRACKER_HOME": home.folder, "OTEL_TRACKER_TASK_ID": options.task_id or ""}
    try:
        with Children() as children:
            for admission in _admissions(gate, options):
                if admission.fallback_for:
                    complain(f"{admission.agent_file} runs it instead of {admission.fallback_for}")
                timeout, retries = _limits(gate, admission, options)
                output = Outputs([integration.output() for integration in integrations.load_all()])
                task = CommandTask(recorder, admission, options.command_line, options.model, children, output)
                last = task.run(timeout, retries, environment)
                if last.outcome != names.FAILURE or children.ending_signal is not None:
                    break
    except AgentBlacklistedError as error:
        complain(str(error))
        return EXIT_REFUSED
    recorder.leave()  # a process that ends by a signal has no other exit
    return end_like(last.status) if last else 0


def _admissions(gate: Gate, options: "Namespace") -> "Iterator[Admission]":
    agent, task_id = event.checked_agent(options.agent), event.checked_text("a task id", options.task_id)
    event.checked_model(options.model)
    listed = [event.checked_agent(name) for name in options.fallback or ()]
    fallbacks = None if options.from_config and not listed else listed
    return gate.admissions(agent, fallbacks, task_id, is_asked=not options.no_gate)


def _limits(gate: Gate, admission: Admission, options: "Namespace") -> "tuple[float | None, Retries | None]":
    timeout, retries = options.timeout, options.retries
    if options.from_config:
        settings = gate.settings(admission.agent_file)
        timeout = settings.timeout_seconds if timeout is None else timeout
        retries = settings.retry_attempts if retries is None else retries
    if not retries:
        return timeout or None, None
    from otel_tracker.tracking.retry import Retries

    return timeout or None, Retries(retries, lambda: not options.no_gate and gate.is_open(admission))
