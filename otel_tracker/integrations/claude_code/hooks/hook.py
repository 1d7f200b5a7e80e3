"""One call of a hook: a payload in, nothing out unless the gate denies a launch.

Whatever the payload is, a session of Claude Code must not break on it: every error is one line in the home's
`claude-code/hook.log`, and the exit status is 0. The launch of a healthy agent loads and writes as little as possible.
"""

import os
import sys
import time

from otel_tracker.integrations.claude_code import NAME
from otel_tracker.integrations.claude_code.hooks.payload import PRE_TOOL_USE, Payload
from otel_tracker.integrations.claude_code.variables import is_run_by_copilot
from otel_tracker.runtime import log_output
from otel_tracker.runtime.environment import chosen_home, is_disabled
from otel_tracker.runtime.limits import ERROR_CHARACTERS, PAYLOAD_BYTES
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.storage.home import Home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

LOG_NAME = "hook.log"
_LONGEST_LOG = 1024 * 1024  # bytes; a longer log is renamed, and a new one begun


def main(arguments: "Sequence[str]") -> bool:
    """Answer the payload on standard input; do nothing and return False if argparse has to read the arguments."""
    options = _plain_options(arguments)
    if options is None:
        return False
    home, flags = options
    run(home, is_gated="--no-gate" not in flags, is_closed_on_doubt="--fail-closed" in flags)
    return True


def run(home: "str | None", *, is_gated: bool, is_closed_on_doubt: bool) -> None:
    """Print the answer to the payload on standard input; do nothing where the process is disabled.

    Copilot's payloads are left alone: they are not Claude Code's.
    """
    if is_run_by_copilot() or is_disabled():
        return
    _print(hook(_standard_input(), home, is_gated=is_gated, is_closed_on_doubt=is_closed_on_doubt))


def hook(data: bytes, home: "str | None" = None, *, is_gated: bool = True, is_closed_on_doubt: bool = False) -> str:
    """Return the answer to a payload: an empty text, or the JSON that denies a launch. Never raises.

    If the gate can't tell, for whatever reason, it lets the launch through unless it `is_closed_on_doubt`.
    """
    event, hook_home = "-", None
    diverted: list[str] = []
    before = log_output.divert(lambda text, is_fault: diverted.append(f"{'error' if is_fault else 'notice'}: {text}"))
    try:
        hook_home = Home(chosen_home(home))
        payload = Payload.parse(data)
        event = "_".join(payload.event.split()) or "-"
        drift = payload.drift()
        if drift is not None:
            _log(hook_home, event, f"drift: {drift}")
        answer = _answer(payload, hook_home, is_gated=is_gated, is_closed_on_doubt=is_closed_on_doubt)
    except Exception as error:  # noqa: BLE001 - whatever it is, the session goes on
        diverted.append(f"error: {type(error).__name__}: {error}")
        answer = _in_doubt(data, error) if is_gated and is_closed_on_doubt else ""
    finally:
        log_output.divert(before)
    for line in diverted:
        _log(hook_home, event, line)
    return answer


def _answer(payload: Payload, home: Home, *, is_gated: bool, is_closed_on_doubt: bool) -> str:
    if payload.event == PRE_TOOL_USE:
        if not is_gated or not payload.is_about_agents:
            return ""
        from otel_tracker.integrations.claude_code.hooks import admission

        return admission.answer(payload, home, is_closed_on_doubt=is_closed_on_doubt)
    if payload.session_id is not None:
        from otel_tracker.integrations.claude_code.hooks import dispatch

        dispatch.record(payload, home)
    return ""


def _in_doubt(data: bytes, error: Exception) -> str:
    """Return the denial of a launch that could not be judged; an empty text if the payload is no launch."""
    if b'"PreToolUse"' not in data:
        return ""
    from otel_tracker.integrations.claude_code.hooks.admission import denial

    return denial(f"otel-tracker can't tell whether this agent may be called, and is set to refuse it then: {error}")


def _plain_options(arguments: "Sequence[str]") -> "tuple[str | None, set[str]] | None":
    """Return the home and the flags of a command line; None if it needs argparse."""
    home, flags = None, set()
    rest = iter(arguments)
    for argument in rest:
        if argument in ("--no-gate", "--fail-closed"):
            flags.add(argument)
        elif argument == "--home":
            home = next(rest, "")
            if not home.strip() or home.startswith("-"):
                return None
        else:
            return None
    return home, flags


def _standard_input() -> bytes:
    try:
        return sys.stdin.buffer.read(PAYLOAD_BYTES)
    except (AttributeError, OSError, ValueError):  # it is closed, or missing
        return b""


def _print(answer: str) -> None:
    if not answer:
        return
    try:  # noqa: SIM105 - contextlib takes too long to load
        os.write(1, answer.encode("ascii", "backslashreplace") + b"\n")
    except OSError:
        pass  # Claude Code no longer reads it


def _log(home: "Home | None", event: str, text: str) -> None:
    """Add a line to the log of a home, if the home exists. Never raises."""
    try:
        if home is None or not os.path.isdir(home.folder):
            return
        from otel_tracker.runtime.log import shown
        from otel_tracker.storage import claim
        from otel_tracker.storage.files import Files

        files, folder = Files(), home.of_integration(NAME)
        path = os.path.join(folder, LOG_NAME)
        claim.check_links(home, files, folder)
        files.make_folder(folder)
        signature = files.signature(path)
        if signature is not None and signature[1] > _LONGEST_LOG:
            os.replace(path, f"{path}.1")
        line = f"{format_timestamp(time.time())} {event} {shown(' '.join(text.split()))[:ERROR_CHARACTERS]}\n"
        files.append(path, line.encode("utf-8", "replace"))
    except Exception:  # noqa: BLE001, S110 - there is no other place to report it
        pass
