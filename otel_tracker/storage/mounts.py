"""Which file system a folder is on, and which files are mounted on their own.

Locks and renames over a network are not tested here. No file can be renamed over a file that is mounted on its own.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

NETWORK = frozenset(
    ("9p", "afs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs")
)
_TABLE = "/proc/self/mountinfo"  # see proc_pid_mountinfo(5)


def warning_about(folder: str) -> "str | None":
    """Return a warning for the user about the file system that a home is on, None if there is nothing to say."""
    filesystem = filesystem_of(folder)
    if filesystem not in NETWORK:
        return None
    return (
        f"{folder} is on {filesystem}: between machines neither its locks nor its renames are proven; "
        "processes of one machine are safe"
    )


def written_in_place(path: str) -> str:
    """Return a warning for the user about a file that is mounted on its own."""
    return (
        f"{path} is mounted on its own, so that it is written in place; "
        "mount the folder that it is in, else a process outside may replace it unseen"
    )


def is_mounted_alone(path: str) -> bool:
    """Tell whether a file is mounted on its own, as far as the system tells."""
    real = os.path.realpath(path)
    return os.path.isfile(real) and any(point == real for point, _ in _mounts(None))


def filesystem_of(path: str, table: "str | None" = None) -> "str | None":
    """Return the type of the file system that `path` is on, or would be, None where the system doesn't tell."""
    real = os.path.realpath(path)
    nearest, longest = None, -1
    for point, filesystem in _mounts(table):
        is_inside = real == point or real.startswith(point.rstrip("/") + "/")
        if is_inside and len(point) >= longest:  # of two mounts at one point the later one covers the other
            nearest, longest = filesystem, len(point)
    return nearest


def _mounts(table: "str | None") -> "Iterator[tuple[str, str]]":
    """Yield each mount's point and the type of its file system, in the order in which they were mounted."""
    if table is None:
        try:
            with open(_TABLE, encoding="utf-8", errors="surrogateescape") as file:
                table = file.read()
        except OSError:
            return
    for line in table.splitlines():
        mount, _, rest = line.partition(" - ")
        fields = mount.split(" ")
        if len(fields) > 4 and fields[4]:
            yield _unescaped(fields[4]), rest.split(" ")[0]


def _unescaped(point: str) -> str:
    for code, letter in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(code, letter)
    return point
