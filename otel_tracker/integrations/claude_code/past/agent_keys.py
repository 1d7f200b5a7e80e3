"""The keys of agents by their types, as hooks find them; without a home those of the files that there are."""

from otel_tracker.errors import OtelTrackerError
from otel_tracker.integrations.claude_code.runs import agent_types
from otel_tracker.runtime.log import warn
from otel_tracker.state.document import new_document
from otel_tracker.state.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.state.document import Document
    from otel_tracker.storage.files import Files
    from otel_tracker.storage.home import Home


class AgentKeys:
    """Finds keys, each once."""

    def __init__(self, home: "Home", files: "Files") -> None:
        self._home, self._document = home, _document(home, files)
        self._keys: dict[tuple[str, str | None], str] = {}
        self._new_names: dict[str, str] = {}
        self._named: set[str] = set()

    @property
    def settings(self) -> Settings:
        """The settings of the home."""
        return Settings.of(self._document.config)

    def key_of(self, agent_type: str, project: "str | None") -> str:
        """Return the key of the agent that a type means in a session that works in the folder `project`."""
        place = agent_type, project
        if place not in self._keys:
            agent = agent_types.resolved(self._document, agent_type, project, self._home)
            self._keys[place] = agent.key
            if agent.new_name is not None:
                self._new_names[agent.key] = agent.new_name
        return self._keys[place]

    def take_new_names(self, agents: "set[str]") -> "list[tuple[str, str]]":
        """Return the names, by their keys, to register some agents with that the document doesn't know by them; each once."""
        keys = sorted((agents & self._new_names.keys()) - self._named)
        self._named.update(keys)
        return [(key, self._new_names[key]) for key in keys]


def _document(home: "Home", files: "Files") -> "Document":
    """Return the state of a home, which knows agents by their names; an empty one if there is none that can be read."""
    try:
        if files.signature(home.document) is not None:
            from otel_tracker.storage.store import Store  # here: without a home nothing else needs it

            return Store(home).read(is_patient=False)
    except OtelTrackerError as error:
        warn("%s", error)
    return new_document()
