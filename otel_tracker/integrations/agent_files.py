"""The agents of a folder: its Markdown files, with the `name` that their front matter gives them.

So are the agents of a home, and those of the coding agents that read such files, too.
"""

import os
import re

from otel_tracker import integrations
from otel_tracker.errors import StorageError
from otel_tracker.runtime.limits import FRONT_MATTER_CHARACTERS, NAME_CHARACTERS
from otel_tracker.runtime.log import warn
from otel_tracker.state.event import is_name
from otel_tracker.storage.failures import attempting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_tracker.storage.home import Home

_NOT_AGENTS = ("config", "journal", "backups", "scripts")
_KEY = re.compile(r"""(name|"name"|'name')[ \t]*:(?=[ \t]|$)""")
_PLAIN = re.compile(r"name:[ \t]+(\w(?:[\w.+/()@-]|[ \t](?!#)|:(?![ \t]))*?)[ \t]*")
"""A name without quotes, comments or anything else that has a meaning in YAML."""
_LONGEST_ENTRY = 16 * NAME_CHARACTERS  # each letter may be written as an escape of ten


def agent_files(folder: str) -> "Iterator[tuple[str, str | None]]":
    """Yield the key of each `*.md` file of a folder, and its name if it has one, in the order of the keys.

    The folders of a home that hold no agents are left out. Links to folders are followed, unless they lead back to a folder
    around them; a folder that has several paths is read once, by its own path if that is in the home.
    A file that can't be read is logged, and has no name.
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
        folders[:] = sorted(
            name for name in folders if inside != home or name not in (*_NOT_AGENTS, *integrations.NAMES)
        )
        inner = [os.path.join(inside, name) for name in folders]
        links += [path for path in inner if os.path.islink(path) and not _leads_back(path, home)]
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


def has_file(key: str, home: "Home") -> "bool | None":
    """Tell whether an agent's file is in the home, or where a coding agent finds its own; None for a key that names no file."""
    if not key.endswith(".md"):
        return None
    folders = [
        home.folder,
        *(folder for integration in integrations.load_all() for folder in integration.agent_folders()),
    ]
    return any(os.path.isfile(os.path.join(folder, key)) for folder in folders)


def _name_of(path: str) -> "str | None":
    try:
        return front_matter_name(path)
    except StorageError as error:
        warn("%s", error)
        return None


def front_matter_name(path: str) -> "str | None":
    """Return the `name` in a Markdown file's front matter, the YAML between two lines of three hyphens; else None.

    Raises StorageError if the file can't be read.
    """
    entry = _entry_of_name(path)
    if not entry:
        return None
    plain = _PLAIN.fullmatch(entry[0])
    name = plain[1] if plain and not any(line.strip() for line in entry[1:]) else _parsed(entry)
    return name if name is not None and is_name(name) else None


def _entry_of_name(path: str) -> "list[str]":
    """Return the lines of the entry `name`: further ones are indented, as all that isn't a key of the first level.

    So whatever is wrong with other entries (descriptions are full of unquoted colons) doesn't matter.
    """
    entry: list[str] = []
    with attempting("read", path), open(path, encoding="utf-8-sig", errors="replace") as file:
        if file.readline(FRONT_MATTER_CHARACTERS).rstrip() != "---":
            return []
        for line in file.read(FRONT_MATTER_CHARACTERS).split("\n"):
            is_of_entry = not line.strip(" \t") or line[0] in " \t"
            if line.rstrip() == "---" or (entry and not is_of_entry):
                break
            if entry or _KEY.match(line):
                entry.append(line)
    return entry


def _parsed(entry: "list[str]") -> "str | None":
    """Return the value of an entry by the rules of YAML, which few names need; a value that isn't YAML is returned as it is."""
    import yaml  # it takes longer to load than all else that a hook needs

    text = "\n".join(entry)
    if len(text) > _LONGEST_ENTRY:
        return None
    try:
        values = yaml.load(text, yaml.BaseLoader)  # noqa: S506 - it makes nothing but texts
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError):  # the latter are PyYAML's own
        return entry[0].partition(":")[2].strip()
    value = next(iter(values.values())) if isinstance(values, dict) else None
    return value.strip() if isinstance(value, str) else None
