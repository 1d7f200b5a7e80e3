"""The generator of transcript trees: the same seed writes the same tree, and a simple count finds its tokens."""

import json
from pathlib import Path

from otel_tracker.names import TOKEN_TYPES
from otel_tracker.state.tokens import anthropic_tokens
from tests.integrations.claude_code.trees import double, link_projects, write_tree

UNTIL = 1_790_000_000.0


def content_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_the_same_seed_writes_the_same_tree(tmp_path: Path) -> None:
    first, second = (write_tree(tmp_path / name, 7, UNTIL, sessions=1) for name in "ab")
    assert content_of(tmp_path / "a") == content_of(tmp_path / "b")
    assert first.tokens() == second.tokens()


def test_a_simple_count_over_all_answers_finds_the_tokens(tmp_path: Path) -> None:
    truth = write_tree(tmp_path / "claude", 3, UNTIL, sessions=2)
    double(truth, tmp_path / "copy")
    link_projects(truth)
    most: dict[str, dict[str, int]] = {}
    for path in tmp_path.rglob("*.jsonl"):
        for line in path.read_bytes().splitlines():
            try:
                message = json.loads(line.decode("utf-8", "replace"))["message"]
                tokens = anthropic_tokens(message["usage"])
            except (ValueError, TypeError, KeyError):
                continue
            known = most.setdefault(message["id"], {})
            known |= {kind: max(known.get(kind, 0), number) for kind, number in tokens.items()}
            for iteration in message["usage"].get("iterations") or ():
                if iteration["type"] == "advisor_message":
                    most[f"{message['id']} beside"] = anthropic_tokens(iteration)
    counted = {kind: sum(tokens.get(kind, 0) for tokens in most.values()) for kind in TOKEN_TYPES}
    wanted = {
        kind: sum(number for (_, type_), number in truth.tokens().items() if type_ == kind) for kind in TOKEN_TYPES
    }
    assert counted == wanted
