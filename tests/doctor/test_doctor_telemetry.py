from importlib.metadata import EntryPoint, EntryPoints, distributions

import pytest

from otel_tracker.doctor import NOTE, OK, WRONG, Finding, telemetry
from otel_tracker.doctor.telemetry import telemetry as look

VARIABLES = (
    *("OTEL_SDK_DISABLED", "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "OTEL_TRACES_EXPORTER", "OTEL_TRACES_SAMPLER"),
    *("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"),
    *("OTEL_PYTHON_DISTRO", "OTEL_PYTHON_CONFIGURATOR"),
)


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")


def worst() -> Finding:
    """Return the finding that matters most."""
    return min(look(), key=lambda finding: (WRONG, NOTE, OK).index(finding.level))


def test_an_environment_that_asks_for_nothing_is_in_order() -> None:
    (finding,) = look()
    assert (finding.topic, finding.level) == ("opentelemetry", OK)


@pytest.mark.parametrize(
    ("variable", "value", "level", "said"),
    [
        ("OTEL_SDK_DISABLED", "true", NOTE, "tasks are recorded in the document all the same"),
        ("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "requests, otel_tracker", NOTE, "switches otel_tracker off"),
        ("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "*", NOTE, "switches otel_tracker off"),
        ("OTEL_TRACES_EXPORTER", "otlp,zipkn", WRONG, "names zipkn, which no installed package has"),
        ("OTEL_TRACES_EXPORTER", "circuit_breaker, console", OK, "everything that the environment names is installed"),
        ("OTEL_TRACES_EXPORTER", "none", OK, "everything that the environment names is installed"),
        ("OTEL_TRACES_SAMPLER", "always", WRONG, "names always, which no package has"),
        ("OTEL_TRACES_SAMPLER", "parentbased_always_off", NOTE, "no span leaves a process"),
        ("OTEL_TRACES_SAMPLER", "traceidratio", OK, "everything that the environment names is installed"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", OK, "everything that the environment names is installed"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "carrier-pigeon", WRONG, "no exporter here"),
        ("OTEL_PYTHON_DISTRO", "mine", WRONG, "names mine, which no installed package has"),
        ("OTEL_PYTHON_CONFIGURATOR", "mine", WRONG, "names mine, which no installed package has"),
    ],
)
def test_what_a_variable_would_silently_not_do_is_said(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, level: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert worst().level == level
    assert said in worst().text
    assert (worst().remedy is not None) == (level == WRONG)


def test_the_protocol_that_opentelemetry_instrument_takes_by_itself_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_PROTOCOL")
    assert "by OTLP over grpc by default" in worst().text
    assert worst().remedy == "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    assert worst().level == OK


def test_a_missing_distro_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = EntryPoint(
        "otel_tracker", "otel_tracker.tracking.instrumentor:AgentTrackerInstrumentor", "opentelemetry_instrumentor"
    )
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_PROTOCOL")
    monkeypatch.setattr(telemetry, "entry_points", lambda: EntryPoints([ours]))
    assert "would set up no SDK" in worst().text
    assert worst().remedy == "pip install opentelemetry-distro"


def test_a_missing_instrumentor_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = [point for package in distributions() for point in package.entry_points]
    others = EntryPoints(point for point in installed if point.group != "opentelemetry_instrumentor")
    monkeypatch.setattr(telemetry, "entry_points", lambda: others)
    assert "doesn't find otel_tracker" in worst().text
