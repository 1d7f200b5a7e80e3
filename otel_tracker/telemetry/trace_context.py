"""The trace that a process belongs to, as W3C Trace Context hands it on in the variable TRACEPARENT.

Format: https://www.w3.org/TR/trace-context/#traceparent-header, version 00.
"""

import os
import re
from typing import NamedTuple

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)


class SpanContext(NamedTuple):
    """A span as other processes get it: its ids in hexadecimal, and whether it is sampled (flags `01`)."""

    trace_id: str
    span_id: str
    flags: str = "01"

    @classmethod
    def parse(cls, text: "str | None") -> "SpanContext | None":
        """Return the span that a TRACEPARENT names, None if it is missing or malformed."""
        match = _FORM.fullmatch((text or "").strip())
        if match is None or match[1] == "ff" or (match[1] == "00" and match[5]):
            return None
        is_valid = int(match[2], 16) and int(match[3], 16)
        return cls(match[2], match[3], match[4]) if is_valid else None

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


def new_span(parent: "SpanContext | None") -> SpanContext:
    """Return a new span, in the trace of its parent if it has one."""
    span_id = _random(8)
    return SpanContext(parent.trace_id, span_id, parent.flags) if parent else SpanContext(_random(16), span_id)


def _random(size: int) -> str:
    while not any(drawn := os.urandom(size)):
        pass
    return drawn.hex()
