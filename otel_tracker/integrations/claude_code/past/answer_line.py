"""One line of a transcript, decoded as far as counting needs it: several times as fast as into dictionaries.

What doesn't have the expected types, or isn't UTF-8, is decoded as a hook decodes it (lines.py), so that both count the same.
"""

import json
import re
from typing import Annotated, Any

import msgspec
from msgspec import Raw, Struct

from otel_tracker.integrations.claude_code.transcripts.lines import moment_in, part, record_in, text
from otel_tracker.runtime.limits import MOST_TOKENS
from otel_tracker.state.tokens import whole_tokens

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.integrations.claude_code.transcripts.lines import Record

Count = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)] | None


class Lifetimes(Struct, forbid_unknown_fields=True):
    """Tokens that were written to the cache, by how long they are kept."""

    ephemeral_5m_input_tokens: Count = None
    ephemeral_1h_input_tokens: Count = None


class Iteration(Struct):
    """One of the things that the API has done for an answer."""

    type: str | None = None
    model: str | None = None
    input_tokens: Count = None
    output_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_creation_input_tokens: Count = None
    cache_creation: Lifetimes | None = None


class Usage(Struct):
    """What an answer has used."""

    input_tokens: Count = None
    output_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_creation_input_tokens: Count = None
    cache_creation: Lifetimes | None = None
    iterations: list[Iteration] | None = None
    speed: str | None = None


class ContentBlock(Struct):
    """A part of an answer's content."""

    type: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = Raw(b"{}")


class Message(Struct):
    """An answer."""

    id: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    usage: Usage | None = None
    content: list[ContentBlock] | str | None = None


class Progress(Struct):
    """What a launcher's transcript quotes of a run that goes on: a line of that run's transcript."""

    type: str | None = None
    agentId: str | None = None  # noqa: N815 - as Claude Code writes it
    message: "Line | None" = None


class Line(Struct, rename="camel"):
    """A record of a transcript."""

    type: str | None = None
    is_sidechain: bool | None = None
    request_id: str | None = None
    agent_id: str | None = None
    uuid: str | None = None
    parent_uuid: str | None = None
    timestamp: str | None = None
    cwd: str | None = None
    session_id: str | None = None
    version: str | None = None
    attribution_agent: str | None = None
    is_api_error_message: bool | None = None
    is_aborted_mid_stream: bool | None = None
    api_error_status: Raw | None = None
    error: Raw | None = None
    message: Message | None = None
    data: Progress | None = None
    parent_tool_use_i_d: str | None = msgspec.field(default=None, name="parentToolUseID")


class LaunchInput(Struct):
    """What the call of the tool that runs sub-agents asks for."""

    subagent_type: str | None = None
    prompt: str | None = None
    model: str | None = None


_decode = msgspec.json.Decoder(Line).decode
_decode_input = msgspec.json.Decoder(LaunchInput).decode
_ERRORS = (msgspec.MsgspecError, ValueError, RecursionError)
_minutes: dict[str, float] = {}  # their beginnings, in seconds since 1970
_WIDTH = len("2026-08-10T12:00:00.000Z")
_PLAIN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
_COUNTS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


def line_in(line: bytes) -> Line | None:
    """Return what a line says, None if it can't be read."""
    try:
        return _decode(line)
    except _ERRORS:
        record = record_in(line)
        return None if record is None else _line(record)


def record_at(line: bytes) -> "Record | None":
    """Return all of what a line says, None if it can't be read."""
    try:
        record = msgspec.json.decode(line)
    except _ERRORS:
        return record_in(line)
    return record if isinstance(record, dict) else None


def moment_at(timestamp: str | None) -> float | None:
    """Return the moment of a record's `timestamp`; those of Claude Code, `2026-08-10T12:00:00.000Z`, at little cost."""
    if timestamp is None:
        return None
    minute = _minutes.get(timestamp[:17])
    if minute is not None and len(timestamp) == _WIDTH:
        seconds = timestamp[17:23]
        if seconds.replace(".", "0", 1).isdecimal():
            return minute + float(seconds)
    moment = moment_in(timestamp)
    if moment is not None and _PLAIN.fullmatch(timestamp):
        _minutes[timestamp[:17]] = moment // 60 * 60
    return moment


def launch_in(block: ContentBlock) -> LaunchInput:
    """Return what a call of the tool that runs sub-agents asks for."""
    try:
        return _decode_input(block.input)
    except _ERRORS:
        wish = record_in(bytes(block.input)) or {}
        return LaunchInput(*(text(wish.get(key), 2**20) for key in LaunchInput.__struct_fields__))


def _line(record: dict[str, Any]) -> Line:
    message, data = record.get("message"), part(record, "data")
    names = (
        "type",
        "requestId",
        "agentId",
        "uuid",
        "parentUuid",
        "timestamp",
        "cwd",
        "sessionId",
        "version",
        "attributionAgent",
    )
    texts = {key: text(record.get(key)) for key in names}
    progress = data.get("message")
    return Line(
        type=texts["type"],
        is_sidechain=record.get("isSidechain") is True,
        request_id=texts["requestId"],
        agent_id=texts["agentId"],
        uuid=texts["uuid"],
        parent_uuid=texts["parentUuid"],
        timestamp=texts["timestamp"],
        cwd=texts["cwd"],
        session_id=texts["sessionId"],
        version=texts["version"],
        attribution_agent=texts["attributionAgent"],
        is_api_error_message=record.get("isApiErrorMessage") is True,
        is_aborted_mid_stream=record.get("isAbortedMidStream") is True,
        api_error_status=_raw(record.get("apiErrorStatus")),
        error=_raw(record.get("error")),
        message=_message(message) if isinstance(message, dict) else None,
        data=Progress(
            text(data.get("type")), text(data.get("agentId")), _line(progress) if isinstance(progress, dict) else None
        ),
        parent_tool_use_i_d=text(record.get("parentToolUseID")),
    )


def _message(message: dict[str, Any]) -> Message:
    usage, content = message.get("usage"), message.get("content")
    blocks = [_block(block) for block in content if isinstance(block, dict)] if isinstance(content, list) else content
    return Message(
        text(message.get("id")),
        text(message.get("model")),
        text(message.get("stop_reason")),
        _usage(usage) if isinstance(usage, dict) else None,
        blocks if isinstance(blocks, (list, str)) else None,
    )


def _block(block: dict[str, Any]) -> ContentBlock:
    block_type, call, name = (text(block.get(key)) for key in ("type", "id", "name"))
    return ContentBlock(block_type, call, name, Raw(json.dumps(block.get("input")).encode()))


def _usage(usage: dict[str, Any]) -> Usage:
    listed = usage.get("iterations")
    iterations = [_iteration(one) for one in listed if isinstance(one, dict)] if isinstance(listed, list) else None
    return Usage(**_counts(usage), iterations=iterations, speed=text(usage.get("speed")))


def _iteration(iteration: dict[str, Any]) -> Iteration:
    return Iteration(type=text(iteration.get("type")), model=text(iteration.get("model")), **_counts(iteration))


def _counts(usage: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of tokens and the lifetimes; what was written for other lifetimes is written, too."""
    numbers = {key: whole_tokens(usage.get(key)) for key in _COUNTS}
    lifetimes = part(usage, "cache_creation")
    written = {key: whole_tokens(number) or 0 for key, number in lifetimes.items() if key.startswith("ephemeral_")}
    for_an_hour = written.pop("ephemeral_1h_input_tokens", 0)
    return {**numbers, "cache_creation": Lifetimes(sum(written.values()), for_an_hour)}


def _raw(value: Any) -> Raw | None:
    return None if value is None else Raw(json.dumps(value).encode())
