"""Where the repository and the tests' data are."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
DATA = ROOT / "tests" / "data"
REAL_DOCUMENT = DATA / "circuit-breaker-v7-42-agents.json"
