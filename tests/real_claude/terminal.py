"""An interactive session in a terminal, which is one of tmux."""

import re
from collections.abc import Callable
from pathlib import Path

from tests.real_claude.box import Box
from tests.real_claude.patience import insist, until

IN_A_TURN = "esc to interrupt"
"""What the program shows at its bottom as long as a turn, a command or a hook goes on."""

_POINTER = "\u276f"
_PROMPT = re.compile(rf"^{_POINTER}\u00a0(.*)$", re.MULTILINE)
"""What a person types into; before a line of the conversation the pointer is followed by another kind of space."""


class Terminal:
    """A command in a terminal of its own. Keys have tmux's names: `Escape`, `C-b`, `Enter`.

    It is used as a person uses it, who waits for the prompt, looks whether the program has taken what was typed or
    pressed, and does it again if not.
    """

    def __init__(self, box: Box, *command: str | Path, **variables: str) -> None:
        self._box, self._socket = box, str(box.home.parent / "tmux")
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", "180", "-y", "50", *command, **variables)

    def types(self, line: str) -> None:
        """Enter a line when the program is ready; return when it has been taken.

        What is entered at the end of a turn may be taken and stay in the prompt, where it spoils the next line.
        """
        self.until_ready()
        self._insists(lambda: self._writes(line), lambda: _prompt(self.screen()) == line)
        self._insists(lambda: self._sends("Enter"), lambda: _prompt(self.screen()) != line)

    def presses(self, *keys: str, to_see: str) -> None:
        """Press keys, one after the other, until a text is on the screen."""
        self._insists(lambda: self._sends(*keys), lambda: to_see in self.screen())

    def chooses(self, choice: str) -> None:
        """Choose an answer to a question; return when the question has gone."""
        self.until_shows(choice)
        self.presses("Down", to_see=f"{_POINTER} {choice}")
        self._insists(lambda: self._sends("Enter"), lambda: choice not in self.screen())

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    def until_shows(self, text: str) -> None:
        """Return when the text is on the screen."""
        until(lambda: text in self.screen(), lambda: f"{text!r} isn't on the screen:\n{self.screen()}")

    def until_hides(self, text: str) -> None:
        """Return when the text has gone from the screen."""
        until(lambda: text not in self.screen(), lambda: f"{text!r} stays on the screen:\n{self.screen()}")

    def until_ready(self) -> None:
        """Return when there is a prompt, and neither a turn nor a command goes on."""
        until(self._is_ready, lambda: f"it isn't ready for a prompt:\n{self.screen()}")

    def until_ended(self) -> None:
        """Return when the command has ended."""
        until(self._has_ended, lambda: f"it doesn't end; the screen is\n{self.screen()}")

    def leaves(self) -> None:
        """End the session as a person does."""
        self.types("/exit")
        self.until_ended()

    def _is_ready(self) -> bool:
        screen = self.screen()
        return _prompt(screen) is not None and IN_A_TURN not in screen

    def _has_ended(self) -> bool:
        return self._tmux("list-sessions") == ""

    def _writes(self, text: str) -> None:
        """Write into the prompt, in the place of what is there."""
        self._sends("C-u")
        self._sends("-l", text)

    def _sends(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def _insists(self, act: Callable[[], None], is_so: Callable[[], bool]) -> None:
        """Act, and again after a while, until something is so."""
        insist(act, is_so, lambda: f"the program doesn't take it; the screen is\n{self.screen()}")

    def _tmux(self, *arguments: str | Path, **variables: str) -> str:
        return self._box.run("tmux", "-S", self._socket, *arguments, **variables).stdout


def _prompt(screen: str) -> str | None:
    """Return what is in the prompt, if there is one."""
    prompts = _PROMPT.findall(screen)
    return prompts[-1].rstrip() if prompts else None
