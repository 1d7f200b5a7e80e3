"""Owns the command `otel-tracker`: arguments in, text and exit status out; an error is one line on standard error."""

import os
import sys

from otel_tracker import integrations
from otel_tracker.errors import OtelTrackerError
from otel_tracker.runtime import environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_FAILURE, EXIT_CANNOT_TELL, EXIT_INTERRUPTED = 1, 3, 130
EXIT_CUT_OFF = 141  # as a shell reports a process that SIGPIPE has ended
_OF_TASKS = ("exec", "health", "claude-code")
"""The commands that OTEL_TRACKER_DISABLED is about; the others do what a person has asked for."""


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Run a command and return its exit status: 0, 1 on an error, 2 for wrong usage, or another one of the command."""
    environment.is_command = arguments is None
    given = sys.argv[1:] if arguments is None else list(arguments)
    _open_standard_files()
    if (
        given[1:2] == ["hook"]
        and given[0] in integrations.NAMES
        and _is_done_by_hook(*given, is_process=arguments is None)
    ):
        return 0
    if environment.is_command and _command(given) not in _OF_TASKS:
        environment.configuration = environment.Configuration(disabled=False)
    failure = EXIT_CANNOT_TELL if _command(given) == "health" else EXIT_FAILURE
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # of a letter that the terminal's encoding lacks
    try:
        status = _run(given)
        sys.stdout.flush()
    except OtelTrackerError as error:
        _complain(str(error))
        return failure
    except BrokenPipeError:  # the reader of our output has closed it
        _drop_output()
        return EXIT_CUT_OFF
    except OSError as error:
        _complain(f"cannot go on, most likely with the output: {error}")
        _drop_output()
        return failure
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return status


def _complain(message: str) -> None:
    from otel_tracker.runtime.log import complain  # few commands fail

    complain(message)


def _open_standard_files() -> None:
    """Open the null device as standard input, output or error where the caller has closed one.

    Otherwise the next file that this process opens, perhaps the journal, would become its standard output.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(
                os.devnull, os.O_RDWR
            )  # it gets the lowest free descriptor, which is this one; no child inherits it
        if getattr(sys, name) is None:
            mode = "w" if descriptor else "r"
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - to the end


def _drop_output() -> None:
    """Discard the output that is still buffered, so that Python's own last flush doesn't fail, too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _command(arguments: "list[str]") -> "str | None":
    """Return the name of the command; `--home DIR` may precede it."""
    rest = arguments[2:] if arguments[:1] == ["--home"] else arguments
    return next((argument for argument in rest if not argument.startswith("-")), None)


def _is_done_by_hook(name: str, _hook: str, *arguments: str, is_process: bool) -> bool:
    """Run a hook of a coding agent, and tell whether its arguments were plain to see. Whatever happens, it has succeeded.

    The agent waits for each hook: nothing is collected, and a command that `is_process` ends without taking Python apart.
    """
    import gc

    gc.disable()
    try:
        is_done = integrations.load(name).run_hook(arguments)
    except BaseException:  # noqa: BLE001 - a session must not break on it
        is_done = True
    if is_done and is_process:
        os._exit(0)
    gc.enable()
    return is_done


def _run(arguments: "list[str]") -> int:
    if arguments[:1] == ["health"]:  # without argparse, which takes as long to load as all the rest
        from otel_tracker.cli.health import answer_health, plain_call

        call = plain_call(arguments[1:])
        if call is not None:
            return answer_health(**call)
    from otel_tracker.cli.parser import parse

    try:
        options = parse(arguments)
    except SystemExit as end:  # of --help or --version, or for wrong usage
        return int(end.code or 0)
    status: int = options.command(options)
    return status
