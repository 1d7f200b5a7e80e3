"""`Permit`: what the gate hands to who may run a task. A `with` block over it is that task."""

from typing import TYPE_CHECKING, Any, Literal

from otel_tracker.gate import Admission
from otel_tracker.metric_tracker import MetricTracker
from otel_tracker.task import DEFAULT_MODEL, TaskTracker

if TYPE_CHECKING:
    from types import TracebackType


class Permit:
    """The right to run one task of an agent. True, unlike a rejection.

    `with permit as task:` is that task, a TaskTracker; `permit.task(model="opus")` makes it with options of its own.
    Who doesn't use the permit gives it back with `release`.
    """

    def __init__(self, tracker: MetricTracker, admission: Admission) -> None:
        self._tracker, self._admission = tracker, admission
        self._task: TaskTracker | None = None
        self._is_released = False

    def __bool__(self) -> Literal[True]:
        return True

    def __repr__(self) -> str:
        return f"Permit({self.agent_file!r}, is_probe={self.is_probe})"

    @property
    def agent_file(self) -> str:
        """The agent's key."""
        return self._admission.agent_file

    @property
    def task_id(self) -> str | None:
        """The id of the task that it is for, as the caller gave it."""
        return self._admission.task_id

    @property
    def is_probe(self) -> bool:
        """Whether the breaker is half-open, so that this task decides."""
        return self._admission.is_probe

    def task(self, model: str | None = DEFAULT_MODEL, **options: Any) -> TaskTracker:
        """Return the task that the permit is for, not yet begun; `options` are those of TaskTracker."""
        if self._task is not None or self._is_released:
            raise RuntimeError(f"this permit of {self.agent_file} has been used; ask for another one")
        known = {"task_id": self.task_id, "tracker": self._tracker, "admission": self._admission}
        self._task = TaskTracker(self.agent_file, model, **{**options, **known})
        return self._task

    def release(self) -> None:
        """Give the permit back, unless its task has begun: the next one who asks gets it."""
        if not self._is_released and (self._task is None or not self._task.has_begun):
            self._is_released = True
            self._tracker.gate.give_back(self._admission)

    def __enter__(self) -> TaskTracker:
        return self.task().__enter__()

    def __exit__(
        self, kind: "type[BaseException] | None", error: BaseException | None, trace_back: "TracebackType | None"
    ) -> None:
        if self._task is not None:
            self._task.__exit__(kind, error, trace_back)
