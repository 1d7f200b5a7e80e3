from typing import Any

import pytest

from otel_tracker.state.settings import Settings, default_config

DEFAULTS = {
    "failure_threshold": 5,
    "cooldown_minutes": 10,
    "cooldown_max_minutes": 360,
    "timeout_seconds": 180,
    "retry_attempts": 3,
    "history_max_entries": 1000,
    "history_retention_days": 30,
    "count_lost": True,
    "in_flight_max_hours": 24,
    "record_project": True,
}


def test_without_a_config_the_documented_defaults_hold() -> None:
    settings = Settings({})
    assert {key: getattr(settings, key) for key in DEFAULTS} == DEFAULTS
    assert settings.problems == []


def test_a_new_documents_config_has_the_six_settings_of_the_specification() -> None:
    assert default_config() == {
        "failure_threshold": 5,
        "cooldown_minutes": 10,
        "timeout_seconds": 180,
        "retry_attempts": 3,
        "history_max_entries": 1000,
        "history_retention_days": 30,
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("failure_threshold", 1),
        ("cooldown_minutes", 0),
        ("cooldown_minutes", 0.5),
        ("cooldown_max_minutes", 1440),
        ("timeout_seconds", 12.5),
        ("retry_attempts", 0),
        ("history_max_entries", 0),
        ("history_retention_days", 0.25),
        ("count_lost", False),
        ("in_flight_max_hours", 1),
        ("record_project", False),
    ],
)
def test_a_value_in_its_range_is_taken(key: str, value: Any) -> None:
    settings = Settings({key: value})
    assert getattr(settings, key) == value
    assert settings.problems == []
    assert getattr(Settings({}), key) == DEFAULTS[key]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("failure_threshold", 0),
        ("failure_threshold", 2.5),
        ("failure_threshold", "5"),
        ("failure_threshold", True),
        ("failure_threshold", 10**30),
        ("cooldown_minutes", -1),
        ("cooldown_minutes", "ten"),
        ("cooldown_minutes", False),
        ("cooldown_max_minutes", float("inf")),
        ("timeout_seconds", None),
        ("retry_attempts", [3]),
        ("history_max_entries", -1),
        ("history_retention_days", {}),
        ("count_lost", 1),
        ("count_lost", "no"),
        ("in_flight_max_hours", float("nan")),
    ],
)
def test_a_wrong_value_leaves_the_default_and_is_named(key: str, value: Any) -> None:
    settings = Settings({key: value})
    assert getattr(settings, key) == DEFAULTS[key]
    (problem,) = settings.problems
    assert problem.startswith(f"$.config.{key}: expected ")
    assert repr(value) in problem
    assert f"default {DEFAULTS[key]} holds" in problem


def test_every_wrong_value_is_named_and_the_right_ones_beside_it_hold() -> None:
    settings = Settings({"failure_threshold": 0, "cooldown_minutes": 3, "retry_attempts": None})
    assert settings.cooldown_minutes == 3
    assert [problem.split(":")[0] for problem in settings.problems] == [
        "$.config.failure_threshold",
        "$.config.retry_attempts",
    ]


def test_unknown_settings_are_no_problem() -> None:
    settings = Settings({"colour": "blue", "problems": 3, "_take": 4})
    assert settings.problems == []
