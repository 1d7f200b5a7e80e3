"""A disk that loses its power: logs what is done to the files of a home, and says what a cut after any step may leave.

It is done at the level of system calls, so that Files is tested, too. The disk keeps what POSIX promises, which is less
than most file systems do: the content of a file as of its last flush, the names in a folder as of the folder's. What
came later is there, or not, or in parts, each file for itself; names change in order within a folder.
"""

import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

Image = dict[str, bytes | None]
"""What is found in a folder: contents by paths in it, None for a folder."""
Change = dict[str, int | None]
"""What one step makes of names: the numbers of their files by paths, None for a name that goes."""

FOLDER = 0


class File:
    """The content of a file: what is on the disk for certain, and what programs see."""

    def __init__(self, content: bytes = b"") -> None:
        self.flushed = self.seen = content

    def remains(self) -> list[bytes]:
        """Return what a cut may leave of what was not flushed: nothing, parts, zeros in its place, all."""
        begin = len(os.path.commonprefix([self.flushed, self.seen]))  # noqa: RUF071 - bytes are meant
        half = self.seen[: (begin + len(self.seen)) // 2]
        all_but_a_byte = self.seen[: max(begin, len(self.seen) - 1)]
        zeros = self.seen[:begin] + bytes(len(self.seen) - begin)
        return list(dict.fromkeys([self.flushed, half, all_but_a_byte, zeros, self.seen]))


class Disk:
    """The names and the files of a disk, and what of it somebody has been promised."""

    def __init__(self, names: dict[str, int], contents: dict[int, bytes]) -> None:
        self._names = dict(names)  # as of the last flush
        self._changes: dict[str, list[Change]] = {}  # since then, by folder
        self._files = {number: File(content) for number, content in contents.items()}
        self.acknowledged = 0
        """The number of the last event whose recording has returned."""
        self.left: tuple[str, ...] = ()
        """The ids of events that were left for another process to record."""

    def change_names(self, folder: str, change: Change) -> None:
        self._changes.setdefault(folder, []).append(change)
        for number in filter(None, change.values()):
            self._files.setdefault(number, File())

    def write(self, number: int, content: bytes) -> None:
        self._files[number].seen = content

    def flush(self, number: int) -> None:
        self._files[number].flushed = self._files[number].seen

    def flush_folder(self, folder: str) -> None:
        for change in self._changes.pop(folder, []):
            _apply(change, self._names)

    def flush_all(self) -> None:
        """Do what every system does by itself within a minute."""
        for folder in list(self._changes):
            self.flush_folder(folder)
        for number in self._files:
            self.flush(number)

    def acknowledge(self, sequence: int) -> None:
        self.acknowledged = sequence

    def leave(self, ids: tuple[str, ...]) -> None:
        self.left += ids

    def images(self) -> Iterator[Image]:
        """Yield all that may be found after a cut at this moment."""
        for kept in product(*(_beginnings(changes) for changes in self._changes.values())):
            names = dict(self._names)
            for change in [change for changes in kept for change in changes]:
                _apply(change, names)
            found = {path: number for path, number in names.items() if _is_reachable(path, names)}
            folders: Image = {path: None for path, number in found.items() if number == FOLDER}
            files = [path for path, number in found.items() if number != FOLDER]
            for contents in product(*(self._remains(path, found[path]) for path in files)):
                yield folders | dict(zip(files, contents, strict=True))

    def _remains(self, path: str, number: int) -> list[bytes]:
        """Return what may be left of a file; nobody reads a temporary one."""
        file = self._files[number]
        return [file.flushed] if path.endswith(".tmp") else file.remains()


class LoggedOs:
    """Stands in for the module `os`: does what it is told but for flushing, and logs what it means for a disk."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._numbers: dict[str, int] = {}  # of files, by their paths
        self._opened: dict[int, str] = {}
        self._count = 0
        self.begin()

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def begin(self) -> None:
        """Begin the log: what is in the folder now is on the disk."""
        self._log: list[tuple[str, Callable[[Disk], None]]] = []
        image = taken(self._folder)
        self._numbers = {path: self._new_number() for path, content in image.items() if content is not None}
        self._names = dict.fromkeys(image, FOLDER) | self._numbers
        self._contents = {self._numbers[path]: content for path, content in image.items() if content is not None}

    def note(self, said: str, step: Callable[[Disk], None]) -> None:
        self._log.append((said, step))

    def disks(self) -> Iterator[tuple[str, Disk]]:
        """Yield the disk after each step, with what the step was."""
        disk = Disk(self._names, self._contents)
        for number, (said, step) in enumerate(self._log, 1):
            step(disk)
            yield f"step {number} of {len(self._log)}, {said}", disk

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        is_new = flags & os.O_CREAT and not os.path.lexists(path)
        descriptor = os.open(path, flags, mode)
        name = self._opened[descriptor] = self._name(path)
        if is_new:
            self._numbers[name] = self._new_number()
            self._change_names("create", {name: self._numbers[name]})
        return descriptor

    def write(self, descriptor: int, content: Any) -> int:
        return self._after_change("write", descriptor, os.write(descriptor, content))

    def writev(self, descriptor: int, parts: list[Any]) -> int:
        return self._after_change("write", descriptor, os.writev(descriptor, parts))

    def posix_fallocate(self, descriptor: int, start: int, size: int) -> None:
        raise AssertionError("a cut would leave zeros, which a reader without this package would take for the document")

    def ftruncate(self, descriptor: int, size: int) -> None:
        assert size <= os.fstat(descriptor).st_size, "a cut would leave zeros behind what was written"
        os.ftruncate(descriptor, size)
        self._after_change("truncate", descriptor)

    def fsync(self, descriptor: int) -> None:
        name = self._opened[descriptor]
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            self.note(f"flush {name}", partial(Disk.flush_folder, folder=name))
        else:
            self.note(f"flush {name}", partial(Disk.flush, number=self._numbers[name]))

    fdatasync = fsync

    def replace(self, old: str, new: str) -> None:
        os.replace(old, new)
        names = self._name(old), self._name(new)
        number = self._numbers[names[1]] = self._numbers.pop(names[0])
        self._change_names("rename", {names[0]: None, names[1]: number})

    def unlink(self, path: str) -> None:
        os.unlink(path)
        self._change_names("delete", {self._name(path): None})

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        os.mkdir(path)
        self._change_names("create", {self._name(path): FOLDER})

    def rmdir(self, path: str) -> None:
        os.rmdir(path)
        self._change_names("delete", {self._name(path): None})

    def _after_change(self, said: str, descriptor: int, written: int = 0) -> int:
        name = self._opened[descriptor]
        content = _content(os.path.join(self._folder, name))
        self.note(f"{said} {name}", partial(Disk.write, number=self._numbers[name], content=content))
        return written

    def _change_names(self, said: str, change: Change) -> None:
        name = next(iter(change))
        self.note(f"{said} {name}", partial(Disk.change_names, folder=os.path.dirname(name), change=change))

    def _new_number(self) -> int:
        self._count += 1
        return self._count

    def _name(self, path: str) -> str:
        return "" if path == self._folder else os.path.relpath(path, self._folder)


class UnflushedOs:
    """Stands in for the module `os`, and flushes nothing: for homes that keep their power."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def fsync(self, descriptor: int) -> None:
        pass

    fdatasync = fsync


def put(image: Image, folder: str) -> None:
    """Make a folder in which `image` is found."""
    os.mkdir(folder)
    for path, content in sorted(image.items()):
        place = os.path.join(folder, path)
        if content is None:
            os.mkdir(place, 0o700)
        else:
            descriptor = os.open(place, os.O_WRONLY | os.O_CREAT, 0o600)
            os.write(descriptor, content)
            os.close(descriptor)


def described(step: str, image: Image) -> str:
    """Return what was found after which step, in words."""
    sizes = [
        f"{path}/" if content is None else f"{path} ({len(content)} bytes, {content.count(0)} zeros)"
        for path, content in image.items()
    ]
    return f"after {step}, there were found: {', '.join(sizes)}"


def taken(folder: str) -> Image:
    """Return what is found in a folder."""
    image: Image = {}
    for place, folders, files in os.walk(folder):
        name = os.path.relpath(place, folder)
        image.update((os.path.normpath(os.path.join(name, inner)), None) for inner in folders)
        image.update(
            (os.path.normpath(os.path.join(name, file)), _content(os.path.join(place, file))) for file in files
        )
    return image


def _beginnings(changes: list[Change]) -> list[list[Change]]:
    """Return what may be left of the changes in a folder: none, all but the newest, all."""
    return [changes[:length] for length in dict.fromkeys((0, len(changes) - 1, len(changes)))]


def _apply(change: Change, names: dict[str, int]) -> None:
    for path, number in change.items():
        if number is None:
            names.pop(path, None)
        else:
            names[path] = number


def _is_reachable(path: str, names: dict[str, int]) -> bool:
    folder = os.path.dirname(path)
    return not folder or (names.get(folder) == FOLDER and _is_reachable(folder, names))


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
