"""Every file operation of the storage, so that a test can replace them all.

What is created is for its owner only, whatever the umask says; what exists keeps its mode. Failures are StorageErrors.
"""

import os
import stat
from contextlib import suppress

from otel_tracker.errors import StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Signature = tuple[int, int, int]

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_FILE_MODE, _FOLDER_MODE = 0o600, 0o700


class Files:
    """The operations on the real file system."""

    def signature(self, path: str) -> "Signature | None":
        """Return what tells one content of a file from another: inode, size, time of change; None if there is none."""
        with saying("look at", path):
            try:
                return _signature(os.stat(path))
            except FileNotFoundError:
                return None

    def read(self, path: str, start: int = 0, limit: int = -1) -> "tuple[Signature, bytes] | None":
        """Return the signature and the content of a file, or `limit` bytes of it; None if there is none."""
        with saying("read", path):
            try:
                with open(path, "rb", buffering=0) as file:
                    file.seek(start)
                    return _signature(os.fstat(file.fileno())), _read(file.fileno(), limit)
            except FileNotFoundError:
                return None

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder, none if there is no such folder."""
        with saying("list", folder):
            try:
                return os.listdir(folder)
            except FileNotFoundError:
                return []

    def make_folder(self, path: str) -> None:
        """Create a folder and its parents where they are missing."""
        with saying("create the folder", path):
            if os.path.isdir(path):
                return
            parent = os.path.dirname(path)
            if parent and parent != path:
                self.make_folder(parent)
            with suppress(FileExistsError):
                os.mkdir(path)
                os.chmod(path, _FOLDER_MODE)

    def open_lock(self, path: str) -> int:
        """Return a descriptor of a lock file, which is created, with its folder, where it is missing."""
        with saying("open the lock", path):
            try:
                return os.open(path, os.O_RDWR | _BINARY)
            except FileNotFoundError:
                self.make_folder(os.path.dirname(path))
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _BINARY, _FILE_MODE)
                _set_mode(descriptor, _FILE_MODE)
                return descriptor

    def append(self, path: str, content: bytes) -> None:
        """Add `content` to the end of a file, all of it or, where that fails, nothing."""
        with saying("append to", path), _Opened(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT) as descriptor:
            size = os.fstat(descriptor).st_size
            if not size:
                _set_mode(descriptor, _FILE_MODE)
            try:
                _write(descriptor, content)
            except OSError:
                os.ftruncate(descriptor, size)
                raise

    def truncate(self, path: str, size: int) -> None:
        """Cut a file off after `size` bytes."""
        with saying("cut off", path), _Opened(path, os.O_WRONLY) as descriptor:
            os.ftruncate(descriptor, size)

    def sync(self, path: str) -> None:
        """Return when the content of a file, whoever wrote it, is on the disk."""
        with saying("flush", path), _Opened(path, os.O_WRONLY) as descriptor:
            getattr(os, "fdatasync", os.fsync)(descriptor)

    def sync_folder(self, path: str) -> None:
        """Return when the names in a folder are on the disk."""
        if os.name == "nt":
            return
        with saying("flush", path), _Opened(path, os.O_RDONLY) as descriptor:
            os.fsync(descriptor)

    def replace(self, path: str, parts: "Iterable[bytes | memoryview]") -> "Signature":
        """Put the joined `parts` in the place of a file in one step, and return its signature."""
        temporary = f"{path}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
        with saying("write", path):
            try:
                mode = stat.S_IMODE(os.stat(path).st_mode)
            except FileNotFoundError:
                mode = _FILE_MODE
            try:
                with _Opened(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW, mode) as descriptor:
                    _set_mode(descriptor, mode)
                    _write_parts(descriptor, list(parts))
                    signature = _signature(os.fstat(descriptor))
                os.replace(temporary, path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary)
                raise
            return signature

    def create(self, path: str, content: bytes) -> bool:
        """Create a file with `content` on the disk; False, and nothing done, if the name is taken."""
        with saying("create", path):
            try:
                with _Opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW) as descriptor:
                    _set_mode(descriptor, _FILE_MODE)
                    _write(descriptor, content)
                    os.fsync(descriptor)
            except FileExistsError:
                return False
            return True

    def remove(self, path: str) -> None:
        """Delete a file, if it is there."""
        with saying("delete", path), suppress(FileNotFoundError):
            os.unlink(path)


class saying:  # noqa: N801 - reads as a statement: `with saying("read", path):`
    """Turns an OSError of its block into a StorageError that says what was attempted on which path."""

    __slots__ = ("_attempted", "_path")

    def __init__(self, attempted: str, path: str) -> None:
        self._attempted, self._path = attempted, path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, OSError) and not isinstance(error, StorageError):
            raise StorageError(self._attempted, self._path, error.strerror or str(error)) from error


class _Opened:
    """An open file descriptor that closes itself."""

    __slots__ = ("_descriptor",)

    def __init__(self, path: str, flags: int, mode: int = _FILE_MODE) -> None:
        self._descriptor = os.open(path, flags | _BINARY, mode)

    def __enter__(self) -> int:
        return self._descriptor

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        os.close(self._descriptor)


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


def _write_parts(descriptor: int, parts: "list[bytes | memoryview]") -> None:
    """Write the joined parts to an empty file, in one system call where there is one for it."""
    if not hasattr(os, "writev"):
        _write(descriptor, b"".join(parts))
        return
    size = sum(len(part) for part in parts)
    if size and hasattr(os, "posix_fallocate"):
        # Else ext4 hands the data to the disk inside the rename, which takes longer than all the rest of a task.
        with suppress(OSError):
            os.posix_fallocate(descriptor, 0, size)
    written = os.writev(descriptor, parts)
    if written < size:
        _write(descriptor, b"".join(parts)[written:])


def _set_mode(descriptor: int, mode: int) -> None:
    """Give a new file its mode, whatever the umask has made of it."""
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, mode)


def _signature(status: os.stat_result) -> "Signature":
    return status.st_ino, status.st_size, status.st_mtime_ns
