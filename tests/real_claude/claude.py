"""Claude Code in a box, with a few agents, our hooks, and a model that answers as the story says."""

import json
import subprocess
from pathlib import Path

from otel_tracker import names
from otel_tracker.state.document import Document
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.real_claude.api import Api, Turn, marked
from tests.real_claude.box import Box, Process
from tests.real_claude.patience import until
from tests.real_claude.program import executable
from tests.real_claude.terminal import Terminal

CODER, DEBUGGER, TESTER, EXPERT = "core/coder.md", "core/debugger.md", "core/tester.md", "experts/database-expert.md"

_KEY = "sk-ant-api03-" + "made-up-" * 8
_VARIABLES = {
    "ANTHROPIC_API_KEY": _KEY,
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_MAX_RETRIES": "1",
    "DISABLE_AUTOUPDATER": "1",
    "IS_SANDBOX": "1",  # lets root, who everyone is in the box, do without permission prompts
}
_UNASKED = ("--permission-mode", "bypassPermissions")


class Claude:
    """What a story tells of: sessions in a project, and what has been recorded of them."""

    def __init__(self, folder: Path) -> None:
        self.box = Box(folder)
        self.api = Api(self.box.listener)
        self.box.environment |= {**_VARIABLES, "ANTHROPIC_BASE_URL": self.api.url}
        self.configuration = self.box.home / ".claude"
        self.home = self.configuration / "agents"
        for key in (CODER, DEBUGGER, TESTER, EXPERT):
            self.has_agent(key)
        answered = {
            "hasCompletedOnboarding": True,
            "bypassPermissionsModeAccepted": True,
            "customApiKeyResponses": {"approved": [_KEY[-20:]]},
            "projects": {str(self.box.project): {"hasTrustDialogAccepted": True}},
        }
        (self.box.home / ".claude.json").write_text(json.dumps(answered))

    def close(self) -> None:
        self.api.close()
        self.box.empty()

    # What there is before a session

    def has_agent(self, key: str, *, is_the_projects: bool = False, **front_matter: str) -> None:
        """Write an agent's file, the user's or the project's, which calls itself as the file is called."""
        path = (self.box.project / ".claude" / "agents" if is_the_projects else self.home) / key
        path.parent.mkdir(parents=True, exist_ok=True)
        fields = {"name": path.stem, "description": "does what is wanted", **front_matter}
        path.write_text("---\n" + "".join(f"{name}: {value}\n" for name, value in fields.items()) + "---\nDo it.\n")

    def plays(self, mark: str, *turns: Turn) -> None:
        self.api.plays(mark, *turns)

    def tracker(self, *arguments: str, status: int = 0) -> str:
        """Run `otel-tracker`, and return what it prints."""
        done = self.box.run("otel-tracker", *arguments)
        assert done.returncode == status, (arguments, done)
        return done.stdout

    # Sessions

    def asks(self, mark: str, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a session in print mode to its end."""
        return self.box.run(*_command(*_UNASKED, *options, "-p", marked(mark)), **variables)

    def starts(self, mark: str, *options: str, **variables: str) -> Process:
        """Start a session in print mode."""
        return self.box.start(*_command(*_UNASKED, *options, "-p", marked(mark)), **variables)

    def opens(self, *options: str, **variables: str) -> Terminal:
        """Open an interactive session that waits for a prompt."""
        terminal = Terminal(self.box, *_command(*_UNASKED, *options), **variables)
        terminal.until_shows("bypass permissions on")
        return terminal

    # What has been recorded

    def document(self) -> Document:
        return Store(Home(str(self.home))).read()

    def hook_log(self) -> list[str]:
        log = self.home / "claude-code" / "hook.log"
        return log.read_text().splitlines() if log.exists() else []

    def until_quiet(self) -> None:
        """Return when all sessions and their hooks have ended."""
        until(lambda: not self.box.processes(), lambda: f"there are processes left: {self.box.processes()}")

    def until_written(self, text: str) -> None:
        """Return when a transcript of an agent has the text: Claude Code writes them somewhat later."""
        transcripts = "projects/*/*/subagents/agent-*.jsonl"
        until(
            lambda: any(text in path.read_text() for path in self.configuration.glob(transcripts)),
            lambda: f"no agent's transcript has {text!r}",
        )

    def until_rejected(self, key: str, times: int) -> None:
        """Return when an agent has been refused so often."""
        until(
            lambda: self.document().agents[key]["tallies"]["rejected"] >= times,
            lambda: f"{key} was not refused {times} times: {self.tracker('history')}",
        )

    def until_recorded(self, runs: int, outcome: "str | None" = None) -> None:
        """Return when so many runs have ended, with this outcome if one is named."""
        key = {None: "total_requests", names.SUCCESS: "successful"}[outcome]
        until(
            lambda: self.document().head["metrics"][key] >= runs,
            lambda: f"not {runs} runs have ended: {self.tracker('status')}",
        )


def _command(*options: str) -> tuple[str | Path, ...]:
    return (executable(), *options)
