"""The lines of the journal as text: the event of each, and its number, which each begins with."""

from otel_tracker.state.document import decode_json
from otel_tracker.state.event_checks import is_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_tracker.state.shapes import Event

_NUMBERED = b'{"seq": '  # the beginning of each line
_MOST_DIGITS = 20


def is_number(text: "str | bytes") -> bool:
    """Tell whether a text is the number of an event."""
    return text.isascii() and text.isdigit() and len(text) < _MOST_DIGITS


def offset_after(lines: bytes, sequence: float) -> "int | None":
    """Return where the lines with a higher number than `sequence` begin, None if all of them have one."""
    end = len(lines)
    while end > 0:
        beginning = lines.rfind(b"\n", 0, end - 1) + 1
        number = number_of(lines[beginning:end])
        if number is not None and number <= sequence:
            return end
        end = beginning
    return None


def last_number_in(lines: bytes) -> int:
    """Return the number of the last line that has one, 0 if none has."""
    end = len(lines)
    while end > 0:
        beginning = lines.rfind(b"\n", 0, end - 1) + 1
        number = number_of(lines[beginning:end])
        if number is not None:
            return number
        end = beginning
    return 0


def lines_with(texts: "Iterable[bytes]", content: bytes) -> "list[bytes]":
    """Return the lines that contain one of `texts`, in their order, at the speed at which memory is searched."""
    lines: dict[int, bytes] = {}
    for text in texts:
        at = content.find(text)
        while at >= 0:
            end = content.find(b"\n", at)
            end = len(content) if end < 0 else end
            beginning = content.rfind(b"\n", 0, at) + 1
            lines[beginning] = content[beginning:end]
            at = content.find(text, end)
    return [lines[beginning] for beginning in sorted(lines)]


def number_of(line: bytes) -> "int | None":
    """Return the number that a line begins with, None where another program has damaged it."""
    if not line.startswith(_NUMBERED):
        return None
    digits = line[len(_NUMBERED) : line.find(b",")]
    return int(digits) if is_number(digits) else None


def parsed(line: bytes) -> "Event | None":
    """Return the event of a line, None where another program has damaged it."""
    try:
        event: Event = decode_json(line)
    except ValueError:
        return None
    return event if is_event(event) else None
