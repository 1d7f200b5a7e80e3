"""What the recording scripts share: finished spans as JSON, without what is long, or about the machine."""

import json

LONGEST = 60
DROPPED = ("exception.stacktrace", "code.", "logfire.json_schema", "model_request_parameters", "process.")


def dump(exporter, library, version, file):
    spans = [trimmed(json.loads(span.to_json()), span) for span in exporter.get_finished_spans()]
    blocks = [",\n   ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in span.items()) for span in spans]
    text = ",\n".join("  {" + block + "}" for block in blocks)
    file.write(f'{{"library": {json.dumps(library)}, "version": {json.dumps(version)}, "spans": [\n{text}\n]}}\n')


def trimmed(value, span):
    value = {key: inner for key, inner in value.items() if key not in ("resource", "links") and inner not in (None, [])}
    for owner in (value, *value.get("events", [])):
        owner["attributes"] = {
            key: inner[:LONGEST] if isinstance(inner, str) else inner
            for key, inner in (owner.get("attributes") or {}).items()
            if not key.startswith(DROPPED)
        }
    return {**value, "scope": span.instrumentation_scope.name}
