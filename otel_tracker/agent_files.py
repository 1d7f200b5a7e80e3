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

    The folders of a home that hold no agents are left out. Links to folders are followed, unless they lead back to a folder
    around them; a folder that several paths lead to is read once, by its own path if that is in the home.
    A file that can't be read has no name, as a line of log says.
    """
    waiting, walked, keys = [folder], set[tuple[int, int]](), list[str]()
    while waiting:
        links: list[str] = []
        for top in waiting:
            for path in _markdown_files(top, folder, walked, links):
                key = os.path.relpath(path, folder).replace(os.sep, "/")
                if is_name(key):
                    keys.append(key)
        waiting = links
    for key in sorted(keys):
        yield key, _name_of(os.path.join(folder, key))


def _markdown_files(top: str, home: str, walked: "set[tuple[int, int]]", links: "list[str]") -> "Iterator[str]":
    """Yield the Markdown files below a folder, without the folders that were `walked`; links to others go to `links`."""
    for inside, folders, files in os.walk(top):
        identity = _identity(inside)
        if identity is None or identity in walked:
            folders.clear()
            continue
        walked.add(identity)
        folders[:] = sorted(name for name in folders if inside != home or name not in _NOT_AGENTS)
        found = [os.path.join(inside, name) for name in folders]
        links += [path for path in found if os.path.islink(path) and not _leads_back(path, home)]
        paths = [os.path.join(inside, name) for name in files if name.endswith(".md")]
        yield from filter(os.path.isfile, paths)


def _identity(folder: str) -> "tuple[int, int] | None":
    try:
        status = os.stat(folder)
    except OSError:  # it has just been deleted
        return None
    return status.st_dev, status.st_ino


def _leads_back(link: str, home: str) -> bool:
    """Tell whether a link leads to a folder around the link, or around the home."""
    target = os.path.join(os.path.realpath(link), "")
    return any(
        os.path.join(os.path.realpath(inside), "").startswith(target) for inside in (os.path.dirname(link), home)
    )


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
