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


class Place(NamedTuple):
    """A settings file: its `option` is that of `otel-tracker claude-code install`, None where a person has to edit it."""

    path: str
    values: dict[str, Any]
    option: str | None
    is_managed: bool = False

    @property
    def is_shared(self) -> bool:
        """Whether other programs than Claude Code read it, too."""
        return self.option == "--project"

    @property
    def ours(self) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
        """Event, group and entry of each of our hooks."""
        found = settings_file.entries(self.values)
        return [(event, group, entry) for event, group, entry in found if registration.is_ours(entry)]

    @property
    def choice(self) -> registration.Choice:
        """What was chosen when our hooks were put in: what the gate's entry says, else any of them."""
        entries = {event: entry for event, _, entry in reversed(self.ours)}
        return registration.choice_of(entries.get(registration.GATE) or next(iter(entries.values()), {}))

    @property
    def installing(self) -> str:
        """What registers the hooks here anew, as they were wanted."""
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
        """What takes the hooks away here."""
        if self.option is None:
            return f"take them out of {self.path} by hand"
        return command("claude-code uninstall", options=(self.option,) if self.option else ())


def found() -> tuple[list[Place], list[settings_file.SettingsError]]:
    """Return the files that are there, whose word counts most last, and what is wrong with those that can't be read."""
    known = [
        (settings_file.user_path(), "", False),
        (settings_file.project_path(), "--project", False),
        (settings_file.project_path("settings.local.json"), None, False),
        *((path, None, True) for path in MANAGED),
    ]
    places: list[Place] = []
    broken: list[settings_file.SettingsError] = []
    seen: set[str] = set()
    for path, option, is_managed in known:
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
            places.append(Place(path, settings.values, option, is_managed))
    return places, broken


def plugins(places: Iterable[Place]) -> list[str]:
    """Return the ids of our plugin that is switched on, by the marketplaces that it comes from."""
    states: dict[str, Any] = {}
    for place in places:
        enabled = place.values.get("enabledPlugins")
        states |= enabled if isinstance(enabled, dict) else {}
    return [name for name, state in states.items() if name.startswith(PLUGIN) and state is True]


def registered() -> list[tuple[str, str]]:
    """Return where hooks of ours are registered, and what takes them away there."""
    places, _ = found()
    in_files = [(place.path, place.uninstalling) for place in places if place.ours]
    return in_files + [(f"the plugin {plugin}", f"/plugin uninstall {plugin}") for plugin in plugins(places)]


def is_in_use(places: Iterable[Place]) -> bool:
    """Tell whether there is anything of Claude Code's own in the user's folder, or on this machine."""
    own = (os.path.join(user_folder(), "projects"), os.path.expanduser("~/.claude.json"))
    has_settings = any(place.is_managed or place.path == settings_file.user_path() for place in places)
    return has_settings or any(map(os.path.exists, own))
