"""The command `otel-tracker`: arguments in, exit status out; errors are one line on standard error."""

import os
import sys

from otel_tracker.errors import OtelTrackerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_FAILURE, EXIT_CANNOT_TELL, EXIT_INTERRUPTED = 1, 3, 130


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Run a command and return its exit status: 0, 1 on an error, 2 for wrong usage, and what a command says itself."""
    from otel_tracker.cli.parser import parse

    options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        status: int = options.command(options)
        sys.stdout.flush()
    except OtelTrackerError as error:
        print(f"otel-tracker: {error}", file=sys.stderr)
        return EXIT_CANNOT_TELL if options.name == "health" else EXIT_FAILURE
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return status
