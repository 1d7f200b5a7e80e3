"""Which file system a folder is on, and which files are mounted on their own.

Over a network, neither locks nor renames are proven here. No file can be renamed over one that is mounted on its own.
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
    """Return what a person should know of the file system that a home is on, None if that is nothing."""
    kind = filesystem_of(folder)
    if kind not in NETWORK:
        return None
    return (
        f"{folder} is on {kind}: between machines neither its locks nor its renames are proven; "
        "processes of one machine are safe"
    )


def written_in_place(path: str) -> str:
    """Return what a person should know of a file that is mounted on its own."""
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
    found, longest = None, -1
    for point, kind in _mounts(table):
        is_inside = real == point or real.startswith(point.rstrip("/") + "/")
        if is_inside and len(point) >= longest:  # the later one of two covers the other
            found, longest = kind, len(point)
    return found


def _mounts(table: "str | None") -> "Iterator[tuple[str, str]]":
    """Yield the places of mounts and the types of their file systems, in the order in which they were mounted."""
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
