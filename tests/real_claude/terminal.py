"""An interactive session in a terminal, which is one of tmux."""

from pathlib import Path

from tests.real_claude.box import Box
from tests.real_claude.patience import until


class Terminal:
    """A command in a terminal of its own. Keys have tmux's names: `Escape`, `C-b`, `Enter`."""

    def __init__(self, box: Box, *command: str | Path, **variables: str) -> None:
        self._box, self._socket = box, str(box.home.parent / "tmux")
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", "180", "-y", "50", *command, **variables)

    def types(self, line: str) -> None:
        self._tmux("send-keys", "-l", line)
        self.presses("Enter")

    def presses(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    def until_shows(self, text: str) -> None:
        """Return when the text is on the screen."""
        until(lambda: text in self.screen(), lambda: f"{text!r} isn't on the screen:\n{self.screen()}")

    def until_hides(self, text: str) -> None:
        """Return when the text has gone from the screen."""
        until(lambda: text not in self.screen(), lambda: f"{text!r} stays on the screen:\n{self.screen()}")

    def until_ended(self) -> None:
        """Return when the command has ended."""
        until(
            lambda: self._tmux("list-sessions") == "",
            lambda: f"it doesn't end; the screen is\n{self.screen()}",
        )

    def leaves(self) -> None:
        """End the session as a person does."""
        self.types("/exit")
        self.until_ended()

    def _tmux(self, *arguments: str | Path, **variables: str) -> str:
        return self._box.run("tmux", "-S", self._socket, *arguments, **variables).stdout
