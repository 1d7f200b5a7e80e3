"""Texts of others as they may be shown: nothing in them reaches a terminal, a log, a report or a page as more than text."""

import json


def printable(text: str) -> str:
    r"""Return `text` on one line, with each letter that doesn't print as JSON escapes it: `\n`, `\u001b`, `\u202e`.

    These are control characters (C0, DEL, C1), marks that turn the direction of what follows, invisible letters, line
    separators, halves of surrogate pairs, and spaces other than the ordinary one. Different texts stay different, but for
    those that have such escapes already.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in text)


def columns(text: str) -> int:
    """Return how many columns of a terminal a printable text fills: a wide letter (CJK, emoji) fills two, a combining mark none."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth  # only where it is needed: the gate's path stays light

    return max(0, wcswidth(text))


def fitted(text: str, width: int) -> str:
    """Return a printable text that fills at most `width` columns, without its middle if it is longer."""
    if columns(text) <= width:
        return text
    beginning = end = ""
    for first, last in zip(text, reversed(text), strict=True):
        if columns(beginning + first + end) >= width:
            break
        beginning += first
        if columns(beginning + last + end) >= width:
            break
        end = last + end
    return f"{beginning}…{end}"
