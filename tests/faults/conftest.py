import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.components import miss, needs_root


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a disk of 256 KB."""
    needs_root("a small disk is a tmpfs, which only root can mount")
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", str(place)]
    mount = subprocess.run(command, capture_output=True, text=True, check=False)
    if mount.returncode != 0:
        miss(f"cannot mount a tmpfs: {mount.stderr.strip()}; run it in a container with --cap-add=SYS_ADMIN")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
