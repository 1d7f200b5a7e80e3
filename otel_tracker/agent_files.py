"""The agents of a folder: its Markdown files, with the `name` that their front matter gives them."""

import os

from otel_tracker.errors import StorageError
from otel_tracker.event import is_name
from otel_tracker.log import warn
from otel_tracker.storage.attempt import saying

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_NOT_AGENTS = ("config", "journal", "backups", "scripts", "claude-code")
_FRONT_MATTER_BYTES = 16_384


def agent_files(folder: str) -> "Iterator[tuple[str, str | None]]":
    """Yield the key of each `*.md` file of a folder, and its name if it has one, in the order of the keys.

    The folders of a home that hold no agents are left out. A file that can't be read has no name, as a line of log says.
    """
    for inside, folders, files in os.walk(folder):
        if inside == folder:
            folders[:] = [name for name in folders if name not in _NOT_AGENTS]
        folders.sort()
        for file in sorted(files):
            path = os.path.join(inside, file)
            key = os.path.relpath(path, folder).replace(os.sep, "/")
            if file.endswith(".md") and os.path.isfile(path) and is_name(key):
                yield key, _name_of(path)


def _name_of(path: str) -> "str | None":
    try:
        return front_matter_name(path)
    except StorageError as error:
        warn("%s", error)
        return None


def front_matter_name(path: str) -> "str | None":
    """Return the `name` in a Markdown file's front matter, the block between two lines of three hyphens; else None."""
    with saying("read", path), open(path, encoding="utf-8-sig", errors="replace") as file:
        lines = file.read(_FRONT_MATTER_BYTES).splitlines()
    if not lines or lines[0].rstrip() != "---":
        return None
    for line in lines[1:]:
        if line.rstrip() == "---":
            return None
        key, colon, value = line.partition(":")
        if colon and key == "name":
            name = _unquoted(value)
            return name if is_name(name) else None
    return None


def _unquoted(value: str) -> str:
    text = value.strip()
    if text[:1] in ("'", '"') and len(text) > 1 and text[-1] == text[0]:
        return text[1:-1]
    return text.partition(" #")[0].rstrip()
