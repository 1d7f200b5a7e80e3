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
