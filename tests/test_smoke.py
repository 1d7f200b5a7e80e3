from otel_tracker import MetricTracker, TaskTracker


def test_a_task_is_in_the_document_when_its_block_ends(tmp_path):
    tracker = MetricTracker(tmp_path / "circuit-breaker.json")
    with TaskTracker("core/coder.md", tracker=tracker) as task:
        task.set_tokens_used(1500)
    metrics = tracker.get_agent_metrics("core/coder.md")
    assert metrics["metrics"]["tasks_successful"] == 1
    assert metrics["token_usage"]["sonnet"]["total"] == 1500
