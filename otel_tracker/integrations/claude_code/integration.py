"""Claude Code as the commands and the doctor see it (integrations/protocol.py). Each hook loads this: it imports nothing."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator, Sequence

    from otel_tracker.integrations.protocol import AddCommand, AddSums, MakeHome
    from otel_tracker.reporting.aggregate import Comparison
    from otel_tracker.reporting.finding import Finding
    from otel_tracker.reporting.window import Window
    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.home import Home
    from otel_tracker.tracking.output import Output

TITLE = "Claude Code's sub-agents"


def add_commands(add: "AddCommand", add_sums: "AddSums", make_home: "MakeHome") -> None:
    """Add `install`, `uninstall`, `hook`, `usage` and `import`."""

    def install(options: "Namespace") -> int:
        from otel_tracker.integrations.claude_code import commands

        return commands.install(options, make_home)

    parser = add("install", "register the hooks that record sub-agents and refuse some", install)
    _add_scope(parser)
    gate = parser.add_mutually_exclusive_group()
    gate.add_argument("--gate", action="store_true", help="refuse agents whose breaker is open (as it is by default)")
    gate.add_argument("--no-gate", action="store_true", help="only record")
    parser.add_argument("--fail-closed", action="store_true", help="refuse also where the breaker can't be asked")
    parser.add_argument("--import", dest="with_past", action="store_true", help="record the runs of the past, too")
    _add_scope(add("uninstall", "take the hooks away again", _uninstall))
    parser = add("hook", "what Claude Code calls: a payload on standard input", _hook)
    parser.add_argument("--no-gate", action="store_true", help="only record")
    parser.add_argument("--fail-closed", action="store_true", help="refuse also where the breaker can't be asked")
    parser = add_sums("usage", "what transcripts say was used, with or without hooks; writes nothing", _usage)
    parser.add_argument("paths", nargs="*", metavar="PATH", help="folders or transcripts (all of Claude Code's)")
    parser.set_defaults(since="30d")
    parser = add("import", "record the runs that transcripts tell of, each once", _import)
    parser.add_argument("paths", nargs="*", metavar="PATH", help="folders or transcripts (all of Claude Code's)")
    parser.add_argument("--since", metavar="WHEN", help="only runs that ended then or later: 30d, 2026-11-01 (all)")
    parser.add_argument("--dry-run", action="store_true", help="show what would be imported, write nothing")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="how to show it (table)")


def run_hook(arguments: "Sequence[str]") -> bool:
    """Answer one payload; do nothing and return False if argparse has to read the arguments."""
    from otel_tracker.integrations.claude_code.hooks import hook

    return hook.main(arguments)


def is_calling() -> bool:
    """Tell whether Claude Code has started this process; before 2.1.139 it knows no `args`, and gives none."""
    from otel_tracker.integrations.claude_code.variables import is_in_session

    return is_in_session()


def output() -> "Output":
    """Return a reader for the output of `claude -p`."""
    from otel_tracker.integrations.claude_code.output import ClaudeOutput

    return ClaudeOutput()


def findings(home: "Home") -> "Iterator[Finding]":
    """Yield findings about Claude Code's settings, and about the log of the hooks in a home."""
    from otel_tracker.integrations.claude_code import findings as of_claude_code

    return of_claude_code.findings(home)


def waiting(home: "Home") -> "str | None":
    """Return what transcripts tell that a home hasn't recorded, and the command that does it; None for nothing."""
    from otel_tracker.integrations.claude_code import past_import

    return past_import.waiting(home)


def transcript_of(event: "Event") -> "str | None":
    """Return where the transcript of a run is, by its session and its agent's id."""
    from otel_tracker.integrations.claude_code.transcripts.places import found_transcript
    from otel_tracker.integrations.claude_code.variables import transcript_folders

    return found_transcript(transcript_folders(), event.get("conversation_id") or "", event.get("agent_id") or "")


def agent_folders() -> "list[str]":
    """Return the folders of the agents of the project and of the user."""
    import os

    from otel_tracker.integrations.claude_code.variables import project_agents, user_agents

    return [folder for folder in (project_agents(os.curdir), user_agents()) if folder]


def _usage(options: "Namespace", window: "Window", now: float) -> "Comparison":
    from otel_tracker.integrations.claude_code import past_usage

    return past_usage.usage(options, window, now)


def _import(options: "Namespace") -> int:
    from otel_tracker.integrations.claude_code import past_import

    return past_import.import_past(options)


def _uninstall(options: "Namespace") -> int:
    from otel_tracker.integrations.claude_code import commands

    return commands.uninstall(options)


def _hook(options: "Namespace") -> int:
    from otel_tracker.integrations.claude_code.hooks import hook

    hook.run(options.home, is_gated=not options.no_gate, is_closed_on_doubt=options.fail_closed)
    return 0  # another status would reach into the session


def _add_scope(parser: "ArgumentParser") -> None:
    scope = parser.add_mutually_exclusive_group()
    scope.add_argument("--user", action="store_true", help="in the user's settings (as it is by default)")
    scope.add_argument("--project", action="store_true", help="in .claude/settings.json of this folder")
    parser.add_argument("--dry-run", action="store_true", help="show the difference, write nothing")
