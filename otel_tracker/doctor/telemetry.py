"""Findings about OpenTelemetry: what an auto-instrumented process in this environment would silently leave out."""

from collections.abc import Iterator
from importlib.metadata import EntryPoints, entry_points

from otel_tracker.errors import INSTALL_AGAIN
from otel_tracker.reporting.finding import NOTE, OK, WRONG, Finding
from otel_tracker.runtime.environment import OTEL_TRACKER_DISABLED, is_disabled_for_others, value_of

_TOPIC = "opentelemetry"
_BUILT_IN_SAMPLERS = {
    *("always_on", "always_off", "traceidratio"),
    *("parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"),
}
_PROTOCOLS = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http", "http/json": "otlp_json_http"}
_RECORDED = "tasks are recorded in the document all the same"


def recording() -> Iterator[Finding]:
    """Look whether this package itself is switched off."""
    if is_disabled_for_others():
        text = f"{OTEL_TRACKER_DISABLED} is set here: tasks and hooks of this environment record nothing and refuse nothing"
        yield Finding("recording", NOTE, text, f"unset {OTEL_TRACKER_DISABLED}")


def telemetry() -> Iterator[Finding]:
    """Look at the variables of OpenTelemetry, and at the packages that they need."""
    points = entry_points()
    findings = [*_switched_off(), *_exporters(points), *_sampler(points), *_auto_instrumentation(points)]
    yield from findings
    if all(finding.level != WRONG for finding in findings):
        yield Finding(_TOPIC, OK, "everything that the environment names is installed")


def _switched_off() -> Iterator[Finding]:
    if _value("OTEL_SDK_DISABLED").lower() == "true":
        yield Finding(_TOPIC, NOTE, f"OTEL_SDK_DISABLED is true: no span and no metric leaves a process; {_RECORDED}")
    disabled = _listed("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS")
    if {"otel_tracker", "*"} & set(disabled):
        text = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS switches otel_tracker off: agent spans of others are not recorded"
        yield Finding(_TOPIC, NOTE, text)


def _exporters(points: EntryPoints) -> Iterator[Finding]:
    available = _names(points, "opentelemetry_traces_exporter")
    for name in _listed("OTEL_TRACES_EXPORTER"):
        if name not in available | {"otlp", "none"}:
            text = f"OTEL_TRACES_EXPORTER names {name}, which no installed package has: the SDK would not start"
            yield Finding(
                _TOPIC, WRONG, text, f"one of {', '.join(sorted(available))}, or install the package that has it"
            )
    protocol = _value("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or _value("OTEL_EXPORTER_OTLP_PROTOCOL")
    is_asked_for = "otlp" in (_listed("OTEL_TRACES_EXPORTER") or ["otlp"]) and _names(points, "opentelemetry_distro")
    if not protocol and is_asked_for and "otlp_proto_grpc" not in available:
        text = "opentelemetry-instrument exports by OTLP over grpc by default, for which no exporter is installed"
        yield Finding(_TOPIC, NOTE, text, "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf")
    if protocol and _PROTOCOLS.get(protocol) not in available:
        text = f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol}, for which there is no exporter here"
        package = f"opentelemetry-exporter-{_PROTOCOLS.get(protocol, 'otlp').replace('_', '-')}"
        yield Finding(_TOPIC, WRONG, text, f"pip install {package}, or set it to http/protobuf")


def _sampler(points: EntryPoints) -> Iterator[Finding]:
    name = _value("OTEL_TRACES_SAMPLER")
    if name and name not in _BUILT_IN_SAMPLERS | _names(points, "opentelemetry_traces_sampler"):
        text = f"OTEL_TRACES_SAMPLER names {name}, which no package has: the SDK would use parentbased_always_on"
        yield Finding(_TOPIC, WRONG, text, f"one of {', '.join(sorted(_BUILT_IN_SAMPLERS))}")
    elif name.endswith("always_off"):
        yield Finding(_TOPIC, NOTE, f"OTEL_TRACES_SAMPLER is {name}: no span leaves a process; {_RECORDED}")


def _auto_instrumentation(points: EntryPoints) -> Iterator[Finding]:
    if "otel_tracker" not in _names(points, "opentelemetry_instrumentor"):
        text = "opentelemetry-instrument doesn't find otel_tracker: it was installed without its metadata"
        yield Finding(_TOPIC, WRONG, text, INSTALL_AGAIN)
    try:
        import opentelemetry.instrumentation  # noqa: F401 - whether it is there
    except ImportError:
        text = "opentelemetry-instrument isn't installed: a program is instrumented by its own code only"
        yield Finding(_TOPIC, NOTE, text, "pip install opentelemetry-distro")
        return
    for group, variable in (
        ("opentelemetry_distro", "OTEL_PYTHON_DISTRO"),
        ("opentelemetry_configurator", "OTEL_PYTHON_CONFIGURATOR"),
    ):
        available, chosen = _names(points, group), _value(variable)
        if chosen and chosen not in available:
            text = (
                f"{variable} names {chosen}, which no installed package has: opentelemetry-instrument uses another one"
            )
            yield Finding(_TOPIC, WRONG, text, f"one of {', '.join(sorted(available)) or 'none'}")
        elif not available:
            text = f"no package has an {group}: opentelemetry-instrument would set up no SDK"
            yield Finding(_TOPIC, WRONG, text, "pip install opentelemetry-distro")


def _names(points: EntryPoints, group: str) -> set[str]:
    return {point.name for point in points.select(group=group)}


def _value(variable: str) -> str:
    return value_of(variable).strip()


def _listed(variable: str) -> list[str]:
    return [name.strip() for name in _value(variable).split(",") if name.strip()]
