from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.components import miss, needs
from tests.real_claude.claude import Claude
from tests.real_claude.program import FETCH, VERSION, executable

pytest.register_assert_rewrite("tests.real_claude.account")


def pytest_runtest_setup() -> None:
    """Miss the stories where the program, or what it is run in, isn't there."""
    if not executable().exists():
        miss(f"Claude Code {VERSION} isn't here; fetch it from npm, and run these tests, with: {FETCH}")
    needs("tmux", "sudo apt-get install tmux")
    needs("ip", "sudo apt-get install iproute2")


@pytest.fixture
def claude(tmp_path: Path) -> Iterator[Claude]:
    """Return Claude Code with our hooks registered, as a user has it after the installation."""
    claude = Claude(tmp_path)
    try:
        claude.tracker("claude-code", "install")
        yield claude
    finally:
        claude.close()
