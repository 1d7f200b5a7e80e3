"""Which agent a text means: its key, a name that it had before, the name that it was registered with, or its file's stem.

Names that differ in capitals, `-`, `_` and spaces only are one, as they are for Claude Code. Pure.
"""

from otel_tracker import names
from otel_tracker.errors import AmbiguousAgentError, UnknownAgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from otel_tracker.state.document import Document
    from otel_tracker.state.shapes import Agent

    class DocumentHome(Protocol):
        """The home that a document is in."""

        @property
        def document(self) -> str:
            """The path of the document."""

        @property
        def option(self) -> str | None:
            """What `--home` must name, None for the default home."""


def key_of(document: "Document", text: str) -> "str | None":
    """Return the key of the agent that a text means, None if it means none; raises AmbiguousAgentError."""
    meant = keys_of(document, text)
    if len(meant) > 1:
        raise AmbiguousAgentError(text, tuple(meant))
    return meant[0] if meant else None


def known_key(document: "Document", text: str, home: "DocumentHome") -> str:
    """Return the key of the agent that a text means; raises UnknownAgentError and AmbiguousAgentError.

    `home` is the document's, for the error.
    """
    key = key_of(document, text)
    if key is None:
        raise UnknownAgentError(text, home.document, tuple(similar(document, text)[:2]), home.option)
    return key


def keys_of(document: "Document", text: str) -> list[str]:
    """Return the keys of all agents that a text means equally well: more than one if it is ambiguous."""
    text = str(text)
    if text in document.agents:
        return [text]
    if text in document.renamed:
        return [document.renamed[text]]
    normal = _normal(text)
    if not normal:
        return []
    likeness = {key: _likeness(key, entry, text, normal) for key, entry in document.agents.items()}
    best = max(likeness.values(), default=0)
    if best == 0:
        return list({new: None for old, new in document.renamed.items() if normal in (_normal(old), _stem(old))})
    return [key for key, of_key in likeness.items() if of_key == best]


def all_keys(document: "Document", text: str) -> "set[str]":
    """Return the key of the agent that a text means, if none the text, and the keys that it had before."""
    key = key_of(document, text) or text
    return {key, *(old for old, new in document.renamed.items() if new == key)}


def similar(document: "Document", text: str, likeness: float = 0.6) -> list[str]:
    """Return the keys of agents that a text may be a misspelling of, the likeliest first.

    Their stems or names are the same as the text's stem, or their stems are alike by at least `likeness`, from 0 to 1. Those that differ
    in a number only (`worker-1`, `worker-2`) are no misspellings. A likeness of 1 costs least.
    """
    others, stem = [key for key in document.agents if key != text], _stem(str(text))
    if not stem:  # `core/`, `___`: there is nothing to compare
        return []
    same = [key for key in others if stem in (_stem(key), _normal(document.agents[key].get("name") or ""))]
    if likeness >= 1:
        return same
    from difflib import get_close_matches

    by_stem = {_stem(key): key for key in others if _without_digits(_stem(key)) != _without_digits(stem)}
    alike = [by_stem[match] for match in get_close_matches(stem, by_stem, n=2, cutoff=likeness)]
    return list(dict.fromkeys([*same, *alike]))


def _likeness(key: str, entry: "Agent", text: str, normal: str) -> int:
    """Return how well a text fits an agent: 4 as its name, 3 as its stem, 2 and 1 in normal form, 0 not at all."""
    name = entry.get("name") or ""
    if text in (name, names.agent_stem(key)):
        return 4 if text == name else 3
    if _normal(name) == normal:
        return 2
    return 1 if normal in (_normal(key), _stem(key)) else 0


def _stem(key: str) -> str:
    return _normal(names.agent_stem(key))


def _normal(text: str) -> str:
    return names.normal_name(text.casefold().replace("\\", "/").removeprefix("./").removesuffix(".md"))


def _without_digits(text: str) -> str:
    return "".join(letter for letter in text if not letter.isdigit())
