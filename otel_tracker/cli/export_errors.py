"""What can go wrong when spans are exported."""

from otel_tracker.errors import OtelTrackerError
from otel_tracker.reporting.wording import counted


class ExportError(OtelTrackerError):
    """A receiver has not accepted spans: their `number`, the `exporter`, and what that `reported`."""

    def __init__(self, number: int, exporter: str, reported: str) -> None:
        super().__init__(number, exporter, reported)
        self.number, self.exporter, self.reported = number, exporter, reported

    def message(self) -> str:
        """Return the sentence that a person reads."""
        return (
            f"cannot export {counted(self.number, 'span', 'spans')}: {self.exporter} reports {self.reported}; "
            "check OTEL_EXPORTER_OTLP_ENDPOINT; they are tried again with the next run"
        )


class BusyError(OtelTrackerError):
    """Another process exports the spans of this home: the `holder`."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder

    def message(self) -> str:
        """Return the sentence that a person reads."""
        return f"cannot export spans: {self.holder} is already exporting them; only one process may, so that each span is exported once"


class MissingExporterError(OtelTrackerError):
    """No installed package has the exporter that the environment names: its `name`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def message(self) -> str:
        """Return the sentence that a person reads."""
        is_of_opentelemetry = self.name.startswith(("otlp_", "zipkin", "jaeger"))
        package = f"opentelemetry-exporter-{self.name.replace('_', '-')}"
        get = f"get it with: pip install {package}" if is_of_opentelemetry else "install the package that brings it"
        return f"cannot export spans with {self.name}: no exporter of this name is installed; {get}"


class ExporterSetupError(OtelTrackerError):
    """An exporter that is installed can't be made: its `name`, and the `reason`."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def message(self) -> str:
        """Return the sentence that a person reads."""
        return f"cannot export spans with {self.name}: {self.reason}; check the variables OTEL_EXPORTER_*"
