"""Reads the text of a settings file strictly, and changes it at one key, so that the rest stays as its owner wrote it. Pure."""

import json
import re
from typing import Any, NamedTuple

_INDENTATION = "  "
_SPACE = re.compile(r"[ \t\r\n]*")


class _Member(NamedTuple):
    """A member of the outermost object: its key, and the offsets of its key, of its value, and of the value's end."""

    key: str
    start: int
    value: int
    end: int


def parsed(text: str) -> dict[str, Any]:
    """Return the settings in a text, none for a blank one; raises ValueError if a change could lose something."""
    if not text.strip().lstrip("\ufeff"):
        return {}
    settings = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_unique, parse_constant=_refused)
    if not isinstance(settings, dict):
        raise ValueError(f"expected an object, got {json.dumps(settings)[:40]}")  # noqa: TRY004 - all faults of a text are one error
    return settings


def changed(text: str, key: str, value: Any) -> str:
    """Return a text that `parsed` takes, with `key` of the outermost object at `value`; None takes the key away.

    Indentation, line ends and the end of the file stay as they are; a new file ends with a newline.
    """
    if not text.strip().lstrip("\ufeff"):
        return text if value is None else json.dumps({key: value}, indent=_INDENTATION, ensure_ascii=False) + "\n"
    opening, members = _members(text)
    index = next((index for index, member in enumerate(members) if member.key == key), None)
    if value is None:
        return text if index is None else _without(text, opening, members, index)
    lead = _lead(text, opening, members)
    shown = _shown(value, lead)
    if index is not None:
        return text[: members[index].value] + shown + text[members[index].end :]
    if members:
        added = f",{lead or ' '}{json.dumps(key)}: {shown}"
        return text[: members[-1].end] + added + text[members[-1].end :]
    closing = text.index("}", opening)
    return f"{text[: opening + 1]}{lead}{json.dumps(key)}: {shown}{lead.rstrip(' ')}{text[closing:]}"


def _lead(text: str, opening: int, members: list[_Member]) -> str:
    """Return the line end and the indentation before each member; an empty text if all is on one line."""
    newline = "\r\n" if "\r\n" in text else "\n"
    if not members:
        return newline + _INDENTATION
    _, is_indented, indentation = text[opening + 1 : members[0].start].rpartition("\n")
    return newline + indentation if is_indented else ""


def _shown(value: Any, lead: str) -> str:
    """Return a value as JSON, indented like a member whose line begins with `lead`; on one line if that is empty."""
    if not lead:
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(value, indent=lead.lstrip("\r\n"), ensure_ascii=False).replace("\n", lead)


def _without(text: str, opening: int, members: list[_Member], index: int) -> str:
    if index + 1 < len(members):
        return text[: members[index].start] + text[members[index + 1].start :]
    if index:
        return text[: members[index - 1].end] + text[members[index].end :]
    return text[: opening + 1] + text[text.index("}", members[index].end) :]


def _members(text: str) -> tuple[int, list[_Member]]:
    """Return the offset of the outermost object, and its members."""
    opening = text.index("{")
    members, decoder, at = [], json.JSONDecoder(), _after_space(text, opening + 1)
    while text[at] != "}":
        key, end = decoder.raw_decode(text, at)
        value = _after_space(text, _after_space(text, end) + 1)
        _, end = decoder.raw_decode(text, value)
        members.append(_Member(key, at, value, end))
        at = _after_space(text, end)
        if text[at] == ",":
            at = _after_space(text, at + 1)
    return opening, members


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return at if match is None else match.end()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is there twice")
    return members


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")
