"""`Permit`: the gate's answer to a caller that may run a task. A `with` block over it is that task."""

from typing import Any, Literal

from otel_tracker.tracking.block import Watched
from otel_tracker.tracking.gate import Admission, Claim
from otel_tracker.tracking.pipeline import Tracker
from otel_tracker.tracking.task import DEFAULT_MODEL, TaskTracker


class Permit(Watched[TaskTracker]):
    """The right to run one task of an agent, which MetricTracker.try_acquire returns. True, unlike a Rejection.

    `with permit as task:`, or `async with`, is that task, a TaskTracker; `permit.task(model="opus")` makes it with options of its own.
    A permit that isn't used is given back by `release`, and at once where nothing holds it any more, or where its thread
    has ended.
    """

    def __init__(self, tracker: Tracker, admission: Admission) -> None:
        self._tracker, self._claim = tracker, Claim(tracker.gate, admission)
        self._admission = admission._replace(claim=self._claim)
        self._task: TaskTracker | None = None

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
        """Return the task that the permit is for, not yet begun; `options` are those of TaskTracker.

        Raises RuntimeError where the permit has been used or given back.
        """
        if self._task is not None or not self._claim.is_open:
            raise RuntimeError(f"this permit of {self.agent_file} has been used; ask for another one")
        of_permit = {"task_id": self.task_id, "tracker": self._tracker, "admission": self._admission}
        self._task = TaskTracker(self.agent_file, model, **{**options, **of_permit})
        return self._task

    def release(self) -> None:
        """Give the permit back, unless its task has begun: the next caller that asks gets it."""
        self._claim.release()

    def __enter__(self) -> TaskTracker:
        return self.task().__enter__()

    def leave(self, error: BaseException | None) -> None:
        """End the task, with the exception that has ended its block if there was one."""
        if self._task is not None:
            self._task.leave(error)

    def interrupted(self) -> None:
        """End the task if an interrupt has kept its block from doing so; for the writer."""
        if self._task is not None:
            self._task.interrupted()
