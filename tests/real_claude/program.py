"""Claude Code as npm has it: which versions the suite is for, where they are kept, and how they come there.

`python -m tests.real_claude.program VERSION...` fetches them. Nothing of it is in the repository.
"""

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

OLDEST, NEWEST = "2.1.139", "2.1.332"
"""The oldest version that is supported, and the newest that was run: the two that CI runs."""


def version_of(name: str) -> str:
    """Return the version that is called `oldest`, `newest`, or by its number."""
    return {"oldest": OLDEST, "newest": NEWEST}.get(name, name)


VERSION = version_of(os.environ.get("CLAUDE_CODE_VERSION") or "newest")
FETCH = f"make test-claude VERSION={VERSION}"

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "otel-tracker" / "claude-code"
_NATIVE = f"@anthropic-ai/claude-code-linux-{'arm64' if platform.machine() == 'aarch64' else 'x64'}"


def executable(version: str = VERSION) -> Path:
    """Return where the program is, or would be."""
    return _CACHE / version / "node_modules" / _NATIVE / "claude"


def is_at_least(version: str) -> bool:
    return _numbers(VERSION) >= _numbers(version)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def fetch(version: str) -> None:
    """Install a version by npm, if it isn't there. The package alone, without that of the platform, may bring an old one."""
    if executable(version).exists():
        return
    _CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_CACHE) as folder:
        packages = [f"@anthropic-ai/claude-code@{version}", f"{_NATIVE}@{version}"]
        options = ["--ignore-scripts", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(["npm", "install", f"--prefix={folder}", *options, *packages], check=True)
        os.rename(folder, _CACHE / version)
        os.mkdir(folder)  # for the end of the block to delete


if __name__ == "__main__":
    for name in sys.argv[1:]:
        fetch(version_of(name))
