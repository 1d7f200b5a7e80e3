"""What help shows beside the arguments: the commands in groups, and examples. The man page is made of the same text."""

from textwrap import fill

FIRST = (
    ("claude-code usage", "what Claude Code's agents have cost so far; writes nothing"),
    ("claude-code install", "record and guard them from now on"),
    ("demo", "a made-up fleet, to look around in"),
)
"""What a newcomer may do first: commands, and what for."""

GROUPS = {
    "look": ("status", "top", "ui", "usage", "report", "agent", "leaderboard", "tokens", "history", "serve"),
    "record": ("exec", "export", "spans"),
    "breaker": ("health", "breaker", "reset", "config"),
    "home": ("init", "agents", "doctor", "backups"),
    "others": ("metrics", "demo", "completion"),
}

_CALLED = " hook"  # which only a coding agent calls

EXAMPLES = {
    "agent": ("agent core/coder.md",),
    "agents list": ("agents list",),
    "agents merge": ("agents merge core/codr.md core/coder.md",),
    "agents remove": ("agents remove core/old.md",),
    "agents rename": ("agents rename coder.md core/coder.md",),
    "backups create": ("backups create",),
    "backups list": ("backups list",),
    "backups restore": ("backups restore circuit-breaker_20261125_132703.json",),
    "breaker": ("breaker core/coder.md", 'breaker core/coder.md open --for 2h --reason "a migration"'),
    "claude-code hook": ("claude-code hook < payload.json",),
    "claude-code import": ("claude-code import --dry-run", "claude-code import --since 30d"),
    "claude-code install": ("claude-code install --dry-run", "claude-code install"),
    "claude-code uninstall": ("claude-code uninstall",),
    "claude-code usage": ("claude-code usage", "claude-code usage --since 7d --by day,agent"),
    "completion": ('eval "$(otel-tracker completion bash)"', "completion fish > ~/.config/fish/completions/otel-tracker.fish"),
    "config": ("config", "config set failure_threshold 3", "config set timeout_seconds 900 --agent core/coder.md"),
    "demo": ("demo",),
    "doctor": ("doctor", "doctor --repair"),
    "exec": ("exec core/coder.md --timeout 30m -- claude -p 'fix the tests' --output-format json",),
    "export": ("export --since 30d --format csv > runs.csv",),
    "health": ("health core/coder.md && echo it may run",),
    "history": ("history --agent core/coder.md --since today", "history --by day --since 7d"),
    "init": ("init",),
    "leaderboard": ("leaderboard -m cost_usd -n 5", "leaderboard --since 7d"),
    "metrics": ("metrics -o /var/lib/node_exporter/otel-tracker.prom",),
    "report": ("report", "report --since 7d -o report.md", "report --format html -o report.html"),
    "reset": ("reset core/coder.md",),
    "serve": ("serve", "serve --port 9464"),
    "spans": ("spans --follow",),
    "status": ("status", "status --watch"),
    "tokens": ("tokens", "tokens --since month"),
    "top": ("top",),
    "ui": ("ui",),
    "usage": ("usage --since 7d", "usage --since month --by day,agent"),
}  # fmt: skip
"""Command lines that work as they stand, by command; `otel-tracker` stands before each that doesn't name it itself."""


def examples(prog: str) -> str:
    """Return what the help of the command `prog` (`otel-tracker backups list`) ends with."""
    program, _, name = prog.partition(" ")
    lines = EXAMPLES.get(name, ())
    shown = [line if f"{program} " in line else f"{program} {line}" for line in lines]
    return "\n  ".join(["example:" if len(lines) == 1 else "examples:", *shown]) if lines else ""


def overview(program: str, descriptions: "dict[str, str]", integrations: "dict[str, str]") -> str:
    """Return what the help of the program ends with: what to do first, and the commands, whose descriptions these are.

    `integrations` are the titles of the coding agents by the names of their groups of commands; each is a group here, too.
    """
    first = [(f"{program} {name}", what) for name, what in FIRST]
    groups = {title: [(name, descriptions[name]) for name in names] for title, names in GROUPS.items()}
    of_agents = {
        title: [row for row in descriptions.items() if row[0].startswith(f"{name} ") and not row[0].endswith(_CALLED)]
        for name, title in integrations.items()
    }
    sections = {"first": first, **of_agents, **groups}
    return "\n\n".join(f"{title}:\n{_listed(rows)}" for title, rows in sections.items())


def _listed(rows: "list[tuple[str, str]]") -> str:
    """Return names with what they mean, in lines of at most 80 columns."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(
        fill(what, 79, initial_indent=f"  {name:<{width}}  ", subsequent_indent=" " * (width + 4))
        for name, what in rows
    )
