"""The archive: sums of the runs whose segments of the journal are gone, in a file a month, kept for good.

A line counts what one segment, or several, said of one day, agent, model, project and outcome. It names the last event of its
segment (`until`), and counts only once that segment is gone: deleting the segment is the one step that moves its runs from
the journal to the archive. A process that is killed before that step leaves lines that count nowhere, and the next process
writes them again.
"""

import os
import re
from functools import lru_cache
from typing import Literal, Required, TypedDict

import msgspec

from otel_tracker import names
from otel_tracker.errors import StorageError
from otel_tracker.runtime.log import warn
from otel_tracker.runtime.timestamps import format_timestamp, parse_timestamp
from otel_tracker.state.document import decode_json, encode_line
from otel_tracker.state.run_parts import ARCHIVED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_tracker.state.run_parts import RunPart
    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.files import Files

_NAME = r"\d{4}-(0[1-9]|1[0-2])\.jsonl"
_NOON = "T12:00:00.000000Z"
_KEYS = ("day", "agent", "model", "project", "outcome")
_NUMBERS = ("runs", "seconds", *names.USAGE_KEYS)

_Line = TypedDict(
    "_Line",
    {
        "day": Required[str],
        "agent": str | None,
        "model": Required[str],
        "project": str | None,
        "outcome": Literal["success", "failure", "cancelled", "lost"] | None,
        "until": Required[int],
        "from": int,
        "runs": int,
        "seconds": float,
        "input": int,
        "output": int,
        "cache_read": int,
        "cache_write": int,
        "untyped": int,
        "cache_write_1h": int,
        "cost_micro_usd": int,
        "priced": int,
        "incomplete": bool,
    },
    total=False,
)
_decode = msgspec.json.Decoder(_Line).decode


class Archive:
    """The archive of one home. Only `add` writes; its caller must hold the document lock."""

    def __init__(self, folder: str, files: "Files") -> None:
        self._folder, self._files = folder, files

    def paths(self) -> list[str]:
        """Return the paths of all months, oldest first."""
        names_of_months = sorted(name for name in self._files.names(self._folder) if re.fullmatch(_NAME, name))
        return [os.path.join(self._folder, name) for name in names_of_months]

    def end_of_month(self, path: str) -> float:
        """Return the moment at which a month ends, in seconds since 1970."""
        year, month = map(int, _month_of(path).split("-"))
        return parse_timestamp(f"{year + month // 12:04d}-{month % 12 + 1:02d}-01T00:00:00Z")

    def add(self, parts: "Iterable[RunPart]", first: int, last: int, settled: int) -> None:
        """Add what the segment of the events from `first` to `last` says; it is on the disk when this returns.

        `settled` is the number up to which events were archived before this process began to retire segments: lines up
        to there are joined. Later ones stay apart, for a reader that has begun before may have read their segments.
        """
        months: dict[str, list[Event]] = {}
        for line in _joined(_line_of(part, last) for part in parts):
            months.setdefault(line["day"][:7], []).append(line)
        if months:
            self._files.make_folder(self._folder)
        for month, lines in months.items():
            path = os.path.join(self._folder, f"{month}.jsonl")
            earlier, damaged = self.read(path)
            joined = _joined(line for line in earlier if line["until"] <= settled)
            apart = [line for line in earlier if settled < line["until"] < first]  # later ones: of a killed process
            content = b"".join(line + b"\n" for line in (*damaged, *map(_text, (*joined, *apart, *lines))))
            self._files.replace(path, [content], is_durable=True)

    def read(self, path: str) -> "tuple[list[Event], list[bytes]]":
        """Return a month's lines, and the texts that are none, since another program has damaged them."""
        lines, damaged = [], []
        read = self._files.read(path)
        for text in read[1].splitlines() if read else ():
            line = _line(text, _month_of(path))
            if line is None:
                damaged.append(text)
            else:
                lines.append(line)
        return lines, damaged

    def events(self, path: str, before: float) -> "Iterator[Event]":
        """Yield a month's lines of events before the number `before`, as events at noon of their day (`ARCHIVED`).

        Raises StorageError if a line joins events before that number with later ones: while the caller read the journal, a
        process has retired what the caller had read.
        """
        lines, damaged = self.read(path)
        if damaged:
            warn("skipped %d lines of %s that are none of an archive", len(damaged), path)
        for line in lines:
            if line["until"] < before:
                yield {"agent": None, **line, "action": ARCHIVED, "timestamp": line["day"] + _NOON}
            elif line.get("from", before) < before:
                raise StorageError("read", path, "events were archived while the journal was read; ask again")

    def last_number(self, before: float) -> int:
        """Return the number of the newest event before the number `before` that is archived, 0 if none is."""
        untils = (line["until"] for path in self.paths() for line in self.read(path)[0])
        return max((until for until in untils if until < before), default=0)


def _month_of(path: str) -> str:
    return os.path.basename(path)[: len("2026-11")]


def _line(text: bytes, month: str) -> "Event | None":
    """Return the line of a month that a text is, None if it is none."""
    try:
        line: Event = _decode(text)  # type: ignore[assignment]  # typed, it is a dict all the same
    except ValueError:
        try:
            line = msgspec.convert(decode_json(text), _Line)  # half of a surrogate pair
        except ValueError:
            return None
    return line if line["day"].startswith(month) and _is_day(line["day"]) else None


@lru_cache(maxsize=31)  # of a month
def _is_day(text: str) -> bool:
    try:
        return format_timestamp(parse_timestamp(text + _NOON)) == text + _NOON
    except (ValueError, OverflowError):
        return False


def _text(line: "Event") -> bytes:
    """Return the text of a line, without the spaces that lines of the journal have."""
    try:
        return msgspec.json.encode(line)
    except (UnicodeEncodeError, OverflowError):  # half of a surrogate pair; a number of more than 64 bits
        return encode_line(line)


def _line_of(part: "RunPart", last: int) -> "Event":
    """Return the line that counts a part; what is 0, or isn't known, is left out."""
    line = {
        "day": part.timestamp[:10],
        **{key: getattr(part, key) for key in _KEYS[1:]},
        "until": last,
        "runs": part.runs,
        "seconds": part.duration_seconds,
        **part.tokens,
        "incomplete": part.is_incomplete,
    }
    return _without_zeros(line)


def _without_zeros(line: "Event") -> "Event":
    return {key: value for key, value in line.items() if value is not None and value != 0}


def _joined(lines: "Iterable[Event]") -> "list[Event]":
    """Return lines of which no two have the same keys, and that count the same; those that count nothing are left out."""
    sums: dict[tuple[str | None, ...], Event] = {}
    for line in lines:
        key = tuple([line.get(name) for name in _KEYS])
        sums[key] = _sum(sums[key], line) if key in sums else line
    return [line for line in sums.values() if any(line.get(name) for name in _NUMBERS)]


def _sum(one: "Event", other: "Event") -> "Event":
    numbers = {name: round(one.get(name, 0) + other.get(name, 0), 6) for name in _NUMBERS}
    until = max(one["until"], other["until"])
    begin = min(line.get("from") or line["until"] for line in (one, other))
    line = {**one, **other, **numbers, "until": until, "from": begin if begin < until else 0}
    return _without_zeros(line)
