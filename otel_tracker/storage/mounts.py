"""Which file system a folder is on: over a network, neither locks nor renames are proven here."""

import os

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


def filesystem_of(path: str, table: "str | None" = None) -> "str | None":
    """Return the type of the file system that `path` is on, or would be, None where the system doesn't tell."""
    if table is None:
        try:
            with open(_TABLE, encoding="utf-8", errors="surrogateescape") as file:
                table = file.read()
        except OSError:
            return None
    real = os.path.realpath(path)
    found, longest = None, -1
    for line in table.splitlines():
        mount, _, rest = line.partition(" - ")
        fields = mount.split(" ")
        point = _unescaped(fields[4]) if len(fields) > 4 else ""
        is_inside = real == point or real.startswith(point.rstrip("/") + "/")
        if point and is_inside and len(point) >= longest:  # the later one of two covers the other
            found, longest = rest.split(" ")[0], len(point)
    return found


def _unescaped(point: str) -> str:
    for code, letter in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(code, letter)
    return point
