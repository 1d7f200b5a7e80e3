"""The present state of a home: its document, and the journal's events that the document doesn't have yet."""

from itertools import chain

from otel_tracker.errors import LaggingError
from otel_tracker.state.document import Document, new_document
from otel_tracker.state.fold import fold_all
from otel_tracker.state.replay import SAYING_OTHERWISE, Replay
from otel_tracker.state.settings import problems_in
from otel_tracker.storage.recovery import newest_base

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.files import Files, Signature
    from otel_tracker.storage.parts import Parts


class PresentState:
    """Folds each event once: what was folded is kept until the document on the disk is another one."""

    def __init__(self, parts: "Parts") -> None:
        self._parts = parts
        self._folded = new_document()  # a document, and the journal's later events as of the last `load`
        self._base: Document | None = None  # the document that `_folded` was folded from
        self._view: _View | None = None

    def load(self, *, is_patient: bool = False) -> Document:
        """Return the present state.

        Raises LaggingError, unless the caller `is_patient`, where it takes seconds to fold what the journal has and the
        document doesn't; DocumentError and StorageError as `Store.read`.
        """
        document = self._parts.document_file.load()
        if self._base is not document:
            self.hold(document)
            for problem in problems_in(document.head):
                self._parts.warn_once(f"{self._parts.home.document}: {problem}")
        journal = self._parts.journal
        if journal.is_far_ahead(document.sequence):
            return self._load_from_far(document, is_patient=is_patient)
        events = journal.after(document.sequence)
        if Replay(events).has_discarded(document.sequence):  # a restore was killed before it wrote the document
            base = newest_base(self._parts.backups, journal)
            if base is not None:
                return fold_all(base.document, journal.after(base.document.sequence))
        self._folded = fold_all(self._folded, events)
        return self._folded

    def hold(self, document: Document) -> None:
        """Go on from `document`, which is the one on the disk."""
        self._folded = self._base = document

    def fold_again(self) -> None:
        """Fold anew at the next `load`: settings may be in force since before events that were folded already."""
        self._base = None

    def is_far_behind(self) -> bool:
        """Tell whether it takes seconds to fold what the journal has and this process hasn't folded yet."""
        document = self._parts.document_file.load()
        newest = document if self._base is not document else self._folded
        return self._parts.journal.is_far_ahead(newest.sequence)

    def last_seen(self, agent: str) -> "Event | None":
        """Return an agent's entry as of the last `load`, without looking at the files; None if there was none."""
        entry: Event | None = self._folded.head["agents"].get(agent)
        return entry

    def remember(self, state: Document) -> None:
        """Remember that `state`, just loaded, is what the files say now, for `unchanged`."""
        document_file, end = self._parts.document_file, self._parts.journal.end()
        is_certain = end is not None and document_file.damage is None
        path = self._parts.home.document
        self._view = _View(state, path, document_file.signature, end) if end and is_certain else None

    def unchanged(self) -> "Document | None":
        """Return the state that was remembered if the files are still the same, else None; needs no lock of any kind."""
        view = self._view
        return view.state if view is not None and view.is_present(self._parts.files) else None

    def _load_from_far(self, document: Document, *, is_patient: bool) -> Document:
        """Return the state where the journal has far more than the document: it is folded once, a segment at a time."""
        journal = self._parts.journal
        if journal.is_far_ahead(self._folded.sequence):
            if not is_patient:
                raise LaggingError(self._parts.home.document, self._parts.home.option)
            base = self._far_base(document)
            later = chain.from_iterable(journal.segments_after(base.sequence))
            self._folded = fold_all(base, later, journal.replay_after(base.sequence))
        events = journal.after(self._folded.sequence)
        if any(event["action"] in SAYING_OTHERWISE for event in events):
            self._folded = document
            return self._load_from_far(document, is_patient=is_patient)
        self._folded = fold_all(self._folded, events)
        return self._folded

    def _far_base(self, document: Document) -> Document:
        """Return the document, or where a restore has discarded it the newest base that is not discarded."""
        if not self._parts.journal.replay_after(document.sequence).has_discarded(document.sequence):
            return document
        base = newest_base(self._parts.backups, self._parts.journal)
        return document if base is None else base.document


class _View:
    """A state, and what the files were like that it was read from: as long as they are so, it is the present one."""

    __slots__ = ("_document", "_end", "_signature", "state")

    def __init__(
        self, state: Document, document: str, signature: "Signature | None", end: "tuple[str, int, int]"
    ) -> None:
        self.state, self._document, self._signature, self._end = state, document, signature, end

    def is_present(self, files: "Files") -> bool:
        """Tell whether both files are still what they were."""
        segment, inode, size = self._end
        now = files.signature(segment)
        return now is not None and now[:2] == (inode, size) and files.signature(self._document) == self._signature
