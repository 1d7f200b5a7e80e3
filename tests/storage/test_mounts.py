"""Tables as Linux writes them: see proc_pid_mountinfo(5)."""

import os
from pathlib import Path

import pytest

from otel_tracker.storage.mounts import NETWORK, filesystem_of

TABLE = r"""
22 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw
23 22 0:21 / /proc rw - proc proc rw
40 22 0:35 / /home rw,relatime shared:7 - nfs4 server:/export/home rw,vers=4.2
41 40 0:36 / /home/local\040disk rw - xfs /dev/vdb rw
42 22 0:37 / /mnt/share rw - cifs //server/share rw
43 22 0:38 / /mnt/cover rw - ext4 /dev/vdc rw
44 22 0:39 / /mnt/cover rw - fuse.sshfs host:/ rw
""".strip()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/agents", "ext4"),
        ("/home/someone/.claude/agents", "nfs4"),
        ("/home/local disk/agents", "xfs"),
        ("/homestead", "ext4"),
        ("/mnt/share", "cifs"),
        ("/mnt/cover/agents", "fuse.sshfs"),
    ],
)
def test_a_path_is_on_the_file_system_that_was_mounted_last_and_nearest(path: str, kind: str) -> None:
    assert filesystem_of(path, TABLE) == kind
    assert (kind in NETWORK) == (kind in ("nfs4", "cifs", "fuse.sshfs"))


@pytest.mark.skipif(not os.path.exists("/proc/self/mountinfo"), reason="only Linux has this table")
def test_the_file_system_of_a_real_folder_is_found(tmp_path: Path) -> None:
    assert filesystem_of(str(tmp_path)) not in (None, "proc")
    assert filesystem_of("/proc/self") == "proc"


def test_a_table_that_makes_no_sense_tells_nothing() -> None:
    assert filesystem_of("/srv", "nonsense\n\n1 2 3 - x\n") is None
