"""The settings files that Claude Code reads in the current folder, and our hooks in each. Nothing is changed."""

import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from otel_tracker.errors import command
from otel_tracker.integrations.claude_code.settings import registration, settings_file
from otel_tracker.integrations.claude_code.variables import user_folder

PLUGIN = "otel-tracker@"
MANAGED = (
    "/etc/claude-code/managed-settings.json",
    "/Library/Application Support/ClaudeCode/managed-settings.json",
)


class SettingsSource(NamedTuple):
    """A settings file that Claude Code reads.

    `option` is that of `otel-tracker claude-code install` for it, None if only a person can edit it.
    """

    path: str
    values: dict[str, Any]
    option: str | None
    is_managed: bool = False

    @property
    def is_shared(self) -> bool:
        """Whether programs other than Claude Code read it, too."""
        return self.option == "--project"

    @property
    def ours(self) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
        """Event, group and entry of each of our hooks."""
        entries = settings_file.entries(self.values)
        return [(event, group, entry) for event, group, entry in entries if registration.is_ours(entry)]

    @property
    def choice(self) -> registration.Choice:
        """The options with which our hooks were registered, by the entry of the gate, else by any of them."""
        entries = {event: entry for event, _, entry in reversed(self.ours)}
        return registration.choice_of(entries.get(registration.GATE) or next(iter(entries.values()), {}))

    @property
    def installing(self) -> str:
        """The command that registers the hooks here anew, with the options that they have, or the edit that has to come first."""
        if self.option is None:
            return f"take them out of {self.path} by hand, then: {registration.INSTALL}"
        choice = self.choice
        words = [
            self.option,
            "" if choice.is_gated else "--no-gate",
            "--fail-closed" if choice.is_closed_on_doubt else "",
        ]
        return command("claude-code install", home=choice.home, options=tuple(word for word in words if word))

    @property
    def uninstalling(self) -> str:
        """The command, or the edit by hand, that takes the hooks out of this file."""
        if self.option is None:
            return f"take them out of {self.path} by hand"
        return command("claude-code uninstall", options=(self.option,) if self.option else ())


def existing() -> tuple[list[SettingsSource], list[settings_file.SettingsError]]:
    """Return the files that are there, the one that counts most last, and the errors of those that can't be read."""
    candidates = [
        (settings_file.user_path(), "", False),
        (settings_file.project_path(), "--project", False),
        (settings_file.project_path("settings.local.json"), None, False),
        *((path, None, True) for path in MANAGED),
    ]
    sources: list[SettingsSource] = []
    broken: list[settings_file.SettingsError] = []
    seen: set[str] = set()
    for path, option, is_managed in candidates:
        if not os.path.isabs(path):  # the current folder is gone, and so is its project
            continue
        if os.path.realpath(path) in seen:  # in the user's own folder, the project's settings are the user's
            continue
        seen.add(os.path.realpath(path))
        try:
            settings = settings_file.read(path)
        except settings_file.SettingsError as error:
            broken.append(error)
            continue
        if settings.content is not None:
            sources.append(SettingsSource(path, settings.values, option, is_managed))
    return sources, broken


def plugins(sources: Iterable[SettingsSource]) -> list[str]:
    """Return the ids of our plugin that is switched on, by the marketplaces that it comes from."""
    states: dict[str, Any] = {}
    for source in sources:
        enabled = source.values.get("enabledPlugins")
        states |= enabled if isinstance(enabled, dict) else {}
    return [name for name, state in states.items() if name.startswith(PLUGIN) and state is True]


def registered() -> list[tuple[str, str]]:
    """Return the files and plugins that register our hooks, each with the command or edit that takes them away there."""
    sources, _ = existing()
    in_files = [(source.path, source.uninstalling) for source in sources if source.ours]
    return in_files + [(f"the plugin {plugin}", f"/plugin uninstall {plugin}") for plugin in plugins(sources)]


def is_in_use(sources: Iterable[SettingsSource]) -> bool:
    """Tell whether Claude Code has been used: it has left files in the user's folder, or managed settings on this machine."""
    own = (os.path.join(user_folder(), "projects"), os.path.expanduser("~/.claude.json"))
    has_settings = any(source.is_managed or source.path == settings_file.user_path() for source in sources)
    return has_settings or any(map(os.path.exists, own))
