"""Every file operation of the storage, so that a test can replace them all.

A new file or folder is for its owner only, whatever the umask says, and belongs to the folder's owner if root creates it; an
existing one keeps its mode and its owner. A link in the place of a file that this package makes itself is not followed. Failures
are StorageErrors.
"""

import errno
import os
import re
import stat
import time

from otel_tracker.errors import MountedAloneError, OutputError, StorageError
from otel_tracker.storage.failures import attempting, ignoring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeVar

    Read = TypeVar("Read")
    Signature = tuple[int, int, int]

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # a pipe in the place of a file must not be waited for
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW
_FILE_MODE, _FOLDER_MODE = 0o600, 0o700
_BLOCK_BYTES = 128 * 1024
_ATTEMPTS = 5
_MOST_LINKS = 40  # one after the other, as the system has it
_TEMPORARY = r"\.\d+\.[0-9a-f]{8}\.tmp$"


def parents(path: str) -> "Iterator[str]":
    """Yield the folders around a path, the nearest first; they are relative where the path is."""
    while path != os.path.dirname(path):
        path = os.path.dirname(path)
        yield path or "."


class Files:
    """The operations on the real file system."""

    def signature(self, path: str) -> "Signature | None":
        """Return a file's inode, size in bytes and time of change in ns, which differ if its content does; None if there is no file."""
        with attempting("look at", path):
            try:
                return _signature(os.stat(path))
            except FileNotFoundError:
                return None

    def identity(self, path: str) -> "tuple[int, int] | None":
        """Return the device and inode of a file or folder, which no other one on this machine has; None if there is none."""
        with attempting("look at", path):
            try:
                status = os.stat(path)
            except FileNotFoundError:
                return None
            return status.st_dev, status.st_ino

    def refuse_planted_link(self, path: str) -> None:
        """Raise StorageError if `path` is a link that another user has made in a folder that isn't theirs.

        Root follows only root's links: it must not trust the folder's owner.
        """
        with attempting("look at", path):
            try:
                link = os.lstat(path)
            except FileNotFoundError:
                return
            if stat.S_ISLNK(link.st_mode) and hasattr(os, "geteuid"):
                user = os.geteuid()
                trusted = (user, 0, os.stat(os.path.dirname(path) or ".").st_uid if user else 0)
                if link.st_uid not in trusted:
                    raise StorageError(
                        "follow the link", path, f"user {link.st_uid} made it, whose links are not trusted here"
                    )

    def read(self, path: str, start: int = 0, limit: int = -1) -> "tuple[Signature, bytes] | None":
        """Return the signature and the content of a file, or `limit` bytes of it; None if there is none."""
        with attempting("read", path):
            try:
                with _Opened(path, os.O_RDONLY | _NONBLOCK) as descriptor:
                    status = _status_of_file(descriptor, path)
                    os.lseek(descriptor, start, os.SEEK_SET)
                    return _signature(status), _read(descriptor, limit)
            except FileNotFoundError:
                return None

    def read_through(self, path: str, mark: bytes) -> "bytes | None":
        """Return the content of a file up to the first `mark` or beyond, all of it if it has no mark; None if there is no file."""
        with attempting("read", path):
            try:
                with _Opened(path, os.O_RDONLY | _NONBLOCK) as descriptor:
                    _status_of_file(descriptor, path)
                    content = b""
                    while block := os.read(descriptor, max(_BLOCK_BYTES, len(content))):
                        seam, content = max(0, len(content) - len(mark)), content + block
                        if content.find(mark, seam) >= 0:
                            break
                    return content
            except FileNotFoundError:
                return None

    def steadily(self, path: str, read: "Callable[[], Read]") -> "Read":
        """Return the result of `read`, all of one moment, although a writer may be overwriting the file (`overwrite`)."""
        before = self.signature(path)
        for _ in range(_ATTEMPTS):
            content, after = read(), self.signature(path)
            if before is None or after is None or before[0] != after[0] or before == after:
                break
            before = after
        return content

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder, none if there is no such folder."""
        with attempting("list", folder):
            try:
                return os.listdir(folder)
            except FileNotFoundError:
                return []

    def make_folder(self, path: str) -> None:
        """Create a folder and its parents where they are missing."""
        with attempting("create the folder", path):
            if os.path.isdir(path):
                return
            parent = os.path.dirname(path)
            if parent and parent != path:
                self.make_folder(parent)
            with ignoring(FileExistsError):
                os.mkdir(path, _FOLDER_MODE)
                _make_folder_ours(path)
                self.sync_folder(parent or ".")

    def open_lock(self, path: str) -> int:
        """Return a descriptor of a lock file, which is created, with its folder, where it is missing."""
        with attempting("open the lock", path):
            try:
                return os.open(path, os.O_RDWR | _BINARY | _NOFOLLOW)
            except FileNotFoundError:
                self.make_folder(os.path.dirname(path))
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _BINARY | _NOFOLLOW, _FILE_MODE)
                _make_ours(descriptor, path)
                return descriptor

    def append(self, path: str, content: bytes) -> None:
        """Add `content` to the end of a file, all of it or, where that fails, nothing."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NOFOLLOW | _NONBLOCK
        with attempting("append to", path), _Opened(path, flags) as descriptor:
            if not os.fstat(descriptor).st_size:
                _make_ours(descriptor, path)
            _extend(descriptor, content)

    def truncate(self, path: str, size: int) -> None:
        """Cut a file off after `size` bytes."""
        with attempting("cut off", path), _Opened(path, os.O_WRONLY | _NOFOLLOW) as descriptor:
            os.ftruncate(descriptor, size)

    def rewrite(self, path: str, start: int) -> None:
        """Write the content of a file from the byte `start` on to the same place again.

        After a flush has failed, the system takes the content that it could not write for written: another flush does nothing.
        """
        with attempting("write again", path), _Opened(path, os.O_RDWR | _NOFOLLOW) as descriptor:
            os.lseek(descriptor, start, os.SEEK_SET)
            content = _read(descriptor, -1)
            os.lseek(descriptor, start, os.SEEK_SET)
            _write(descriptor, content)

    def sync(self, path: str) -> None:
        """Return when the content of a file is on the disk, whichever process has written it."""
        with attempting("flush", path), _Opened(path, os.O_WRONLY) as descriptor:
            _flush(descriptor)

    def sync_folder(self, path: str) -> None:
        """Return when the names in a folder are on the disk."""
        if os.name == "nt":
            return
        with attempting("flush", path), _Opened(path, os.O_RDONLY) as descriptor:
            os.fsync(descriptor)

    def replace(self, path: str, parts: "Iterable[bytes | memoryview]", *, is_durable: bool = False) -> "Signature":
        """Put the joined `parts` in the place of a file in one step, and return its signature.

        A power cut soon afterwards may leave neither the old content nor the new one; if `is_durable`, it leaves one of
        them, and the new one once this has returned.

        Raises MountedAloneError, also a StorageError, if the file is mounted on its own.
        """
        temporary = _temporary(path)
        with attempting("write", path):
            try:
                old = os.stat(path)
            except FileNotFoundError:
                old = None
            try:
                with _Opened(temporary, _NEW) as descriptor:
                    if old is None:
                        _make_ours(descriptor, path)
                    else:
                        _make_alike(descriptor, old)
                    _write_parts(descriptor, list(parts))
                    if is_durable:
                        _flush(descriptor)
                    signature = _signature(os.fstat(descriptor))
                os.replace(temporary, path)
            except BaseException as error:
                with ignoring(OSError):
                    os.unlink(temporary)
                if isinstance(error, OSError) and error.errno == errno.EBUSY:
                    raise MountedAloneError(path) from error
                raise
            if is_durable:
                self.sync_folder(os.path.dirname(path))
            return signature

    def overwrite(self, path: str, parts: "Iterable[bytes | memoryview]") -> "Signature":
        """Write the joined `parts` into a file that can't be replaced, and return its signature when they are on the disk.

        The file first gets as long as it must, with spaces, which JSON allows at its end: a full disk refuses before anything
        is overwritten. The first byte is written last, and is zero until then, so that neither a reader in the meantime nor
        a process that reads what a killed writer left can take a part of the content for the whole.
        """
        content = b"".join(parts)
        with attempting("write", path), _Opened(path, os.O_WRONLY | _NOFOLLOW | _NONBLOCK) as descriptor:
            _extend(descriptor, b" " * (len(content) - os.fstat(descriptor).st_size))
            for start, part in ((0, b"\0"), (1, content[1:]), (0, content[:1])):
                os.lseek(descriptor, start, os.SEEK_SET)
                _write(descriptor, part)
                os.ftruncate(descriptor, len(content))
                _flush(descriptor)
            with ignoring(OSError):  # the system's own times are so coarse that two contents could have the same
                os.utime(descriptor, ns=(time.time_ns(), time.time_ns()))
            return _signature(os.fstat(descriptor))

    def put(self, path: str, content: bytes) -> "Signature":
        """Replace a file by `content` in one step, or overwrite it if it is mounted on its own; return its signature."""
        try:
            return self.replace(path, [content])
        except MountedAloneError:
            return self.overwrite(path, [content])

    def export(self, path: str, content: bytes, mode: int = _FILE_MODE) -> None:
        """Write `content` to the file, pipe or device that a caller has named; raises OutputError.

        A file is written in one step, and a new one gets `mode`. Links are followed, unless they are planted
        (`refuse_planted_link`).
        """
        try:
            self._export(self._target(path), content, mode)
        except StorageError as error:
            raise OutputError(error.attempted, error.path, error.reason) from error

    def _export(self, path: str, content: bytes, mode: int) -> None:
        with attempting("write", path):
            try:
                old = os.stat(path)
            except FileNotFoundError:
                old = None
            is_opened = _is_opened(path)
            if old is not None and (is_opened or not stat.S_ISREG(old.st_mode)):
                with _Opened(path, os.O_WRONLY | os.O_APPEND | (0 if is_opened else _NOFOLLOW)) as descriptor:
                    _write(descriptor, content)
                return
            self.put(path, content)
            if old is None:
                os.chmod(path, mode)

    def _target(self, path: str) -> str:
        """Return the path that the links at `path` lead to; the link of a descriptor is not resolved."""
        for _ in range(_MOST_LINKS):
            for link in (path, *parents(path)):
                self.refuse_planted_link(link)
            if not os.path.islink(path) or _is_opened(path):
                break
            with attempting("follow the link", path):
                path = os.path.join(os.path.dirname(path), os.readlink(path))
        return path

    def create(self, path: str, content: bytes) -> bool:
        """Create a file with `content`, in one step and on the disk; False, and nothing done, if the name is taken.

        The caller must hold a lock under which alone the name is taken.
        """
        temporary = _temporary(path)
        with attempting("create", path):
            if os.path.lexists(path):
                return False
            try:
                with _Opened(temporary, _NEW) as descriptor:
                    _make_ours(descriptor, path)
                    _write(descriptor, content)
                    os.fsync(descriptor)
                os.replace(temporary, path)
            except BaseException:
                with ignoring(OSError):
                    os.unlink(temporary)
                raise
            self.sync_folder(os.path.dirname(path))
            return True

    def temporary_files(self, beginning: str) -> list[str]:
        """Return the temporary files of processes that are writing, or were killed writing, files whose paths begin like this."""
        folder, name = os.path.split(beginning)
        return [
            os.path.join(folder, other)
            for other in self.names(folder)
            if other.startswith(name) and re.search(_TEMPORARY, other)
        ]

    def remove(self, path: str) -> None:
        """Delete a file, if it is there."""
        with attempting("delete", path), ignoring(FileNotFoundError):
            os.unlink(path)

    def remove_folder(self, path: str) -> None:
        """Delete a folder, if it is there and empty."""
        with ignoring(OSError):
            os.rmdir(path)


def _is_opened(path: str) -> bool:
    """Tell whether a path names a descriptor of a process (proc_pid_fd(5)), whose file may have no other name."""
    return os.path.realpath(os.path.dirname(path)).startswith("/proc/")


class _Opened:
    """An open file descriptor that closes itself."""

    __slots__ = ("_descriptor",)

    def __init__(self, path: str, flags: int) -> None:
        self._descriptor = os.open(path, flags | _BINARY, _FILE_MODE)

    def __enter__(self) -> int:
        return self._descriptor

    def __exit__(self, error_type: object, error: object, trace: object) -> None:
        os.close(self._descriptor)


def _status_of_file(descriptor: int, path: str) -> os.stat_result:
    """Return the status of an open file; raises StorageError if it is a folder, a pipe or a device."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise StorageError("read", path, "it is no file")
    return status


def _read(descriptor: int, limit: int) -> bytes:
    if limit >= 0:
        return os.read(descriptor, limit)
    parts = []
    while part := os.read(descriptor, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _write(descriptor: int, content: "bytes | memoryview") -> None:
    rest = memoryview(content)
    while rest:
        written = os.write(descriptor, rest)
        rest = rest[written:]


def _extend(descriptor: int, content: bytes) -> None:
    """Write `content` to the end of a file, all of it or, where that fails, nothing."""
    size = os.lseek(descriptor, 0, os.SEEK_END)
    try:
        _write(descriptor, content)
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def _flush(descriptor: int) -> None:
    getattr(os, "fdatasync", os.fsync)(descriptor)


def _write_parts(descriptor: int, parts: "list[bytes | memoryview]") -> None:
    """Write the joined parts to an empty file, in one system call where there is one for it."""
    if not hasattr(os, "writev"):
        _write(descriptor, b"".join(parts))
        return
    written = os.writev(descriptor, parts)
    if written < sum(len(part) for part in parts):
        _write(descriptor, b"".join(parts)[written:])


def _temporary(path: str) -> str:
    return f"{path}.{os.getpid()}.{os.urandom(4).hex()}.tmp"


def _make_ours(descriptor: int, path: str) -> None:
    """Give a new file its mode, whatever the umask says, and its owner."""
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, _FILE_MODE)
        _give_away(descriptor, path)


def _make_folder_ours(path: str) -> None:
    """Give a new folder its mode and its owner; a link that has taken its place meanwhile isn't followed."""
    if hasattr(os, "fchmod"):
        with _Opened(path, os.O_RDONLY | os.O_DIRECTORY | _NOFOLLOW) as descriptor:
            os.fchmod(descriptor, _FOLDER_MODE)
            _give_away(descriptor, path)


def _give_away(descriptor: int, path: str) -> None:
    """Give a file that root has created to the owner of the folder, who could not read it otherwise."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        folder = os.stat(os.path.dirname(path) or ".")
        if folder.st_uid != 0:
            os.fchown(descriptor, folder.st_uid, folder.st_gid)


def _make_alike(descriptor: int, old: os.stat_result) -> None:
    """Give a new file the mode of the file that it replaces, and its owner if the system allows it."""
    if hasattr(os, "fchmod"):
        new = os.fstat(descriptor)
        for owner, group in ((old.st_uid, old.st_gid), (-1, old.st_gid)):  # a member may give a file to its group only
            if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
                with ignoring(OSError):
                    os.fchown(descriptor, owner, group)
                    break
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def _signature(status: os.stat_result) -> "Signature":
    return status.st_ino, status.st_size, status.st_mtime_ns
