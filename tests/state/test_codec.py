import codecs
import itertools
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_tracker import names
from otel_tracker.errors import DocumentError, UnsupportedVersionError
from otel_tracker.state.codec import DocumentCodec
from otel_tracker.state.document import Document
from otel_tracker.state.layout import sequence_of
from tests.builders import (
    AGENT,
    document_of,
    document_values,
    end,
    folded,
    json_values,
    start,
    text_of,
    usage,
    value_of,
)
from tests.places import REAL_DOCUMENT

REAL = REAL_DOCUMENT.read_bytes()
PATH = "config/circuit-breaker.json"

LAYOUTS: dict[str, dict[str, Any]] = {
    "compact": {"separators": (",", ":")},
    "plain": {},
    "no indentation": {"indent": 0},
    "1": {"indent": 1},
    "2": {"indent": 2},
    "4": {"indent": 4},
    "tabs": {"indent": "\t"},
    "2 and utf-8": {"indent": 2, "ensure_ascii": False},
}
layouts = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


def decode(text: bytes) -> Document:
    return DocumentCodec().decode(text, PATH)


def recoded(text: bytes) -> Any:
    return value_of(decode(text))


def is_kept(part: Any, whole: Any) -> bool:
    """Tell whether `whole` says all that `part` does; objects may say more."""
    if type(part) is not type(whole):
        return False
    if isinstance(part, dict):
        return all(key in whole and is_kept(value, whole[key]) for key, value in part.items())
    if isinstance(part, list):
        return len(part) == len(whole) and all(itertools.starmap(is_kept, zip(part, whole, strict=True)))
    return bool(part == whole)


def spaced(value: Any, gaps: "itertools.cycle[str]") -> str:
    """Return JSON with the next of `gaps` as the white space at each place before a member or a bracket."""
    if isinstance(value, dict):
        members = [next(gaps) + json.dumps(key) + ": " + spaced(inner, gaps) for key, inner in value.items()]
        return "{" + ",".join(members) + next(gaps) + "}"
    if isinstance(value, list):
        return "[" + ",".join(next(gaps) + spaced(inner, gaps) for inner in value) + next(gaps) + "]"
    return json.dumps(value)


def test_each_model_of_the_main_conversation_is_on_a_line() -> None:
    document = folded(usage(models={"claude-opus-5-5": {"input": 1}, "m": {"output": 2}}), start("r1"))
    lines = text_of(document).decode().splitlines()
    assert '      "claude-opus-5-5": {"total": 1, "input": 1, "output": 0,' in "".join(lines)
    assert [line[:9] for line in lines if line.startswith('      "m"')] == ['      "m"']
    assert text_of(decode(text_of(document))) == text_of(document)


def test_every_key_of_a_real_document_is_intact_after_a_rewrite() -> None:
    assert is_kept(json.loads(REAL), recoded(REAL))
    assert list(decode(REAL).agents) == list(json.loads(REAL)["agents"])


@layouts
def test_a_real_document_reads_the_same_in_any_layout(layout: dict[str, Any]) -> None:
    text = json.dumps(json.loads(REAL), **layout)
    assert recoded(text.encode()) == recoded(REAL)
    assert recoded(text.replace("\n", "\r\n").encode() + b"\r\n") == recoded(REAL)
    assert recoded(codecs.BOM_UTF8 + text.encode() + b"\n") == recoded(REAL)


@layouts
def test_a_document_of_ours_that_a_person_has_reformatted_reads_and_goes_on_the_same(layout: dict[str, Any]) -> None:
    ours = folded(*(end(f"r{n}", after=n) for n in range(5)), into=document_of(history_max_entries=5))
    reformatted = decode(json.dumps(value_of(ours), **layout).encode() + b"\n")
    assert (reformatted.history.count, reformatted.history.entries()) == (5, ours.history.entries())
    assert value_of(folded(end("r5"), into=reformatted)) == value_of(folded(end("r5"), into=ours))


def test_a_document_is_written_with_its_history_last_and_one_entry_a_line() -> None:
    document = folded(start("r1"), end("r1"), end("r2"), into=decode(REAL))
    text = text_of(document).decode()
    assert list(json.loads(text))[-1] == "history"
    tail = text[text.index('\n  "history": [') :].splitlines()
    assert [json.loads(line.rstrip(","))["run_id"] for line in tail[2:-2]] == ["r1", "r2"]
    assert tail[-2:] == ["  ]", "}"]
    assert '\n        "haiku": {"total": 0, "last": null, "count": 0' in text
    assert text_of(decode(text.encode())).decode() == text


def test_a_file_of_6_2_is_completed() -> None:
    old = {"version": "6.2", "agents": {AGENT: {"status": "healthy", "failures": 2, "last_failure": None}}}
    document = document_of(old)
    assert document.head["version"] == "7.0"
    agent = document.agents[AGENT]
    assert (agent["failures"], agent["blacklisted_until"], agent["metrics"]["tasks_total"]) == (2, None, 0)
    assert agent["token_usage"]["opus"]["count"] == 0
    assert folded(end(), into=document).agents[AGENT]["metrics"]["tasks_successful"] == 1


def test_tokens_of_a_file_without_types_are_untyped() -> None:
    usage = {"sonnet": {"total": 245000, "last": 1500, "count": 142}, "opus": {"total": 10, "input": 4}}
    read = document_of({"agents": {AGENT: {"token_usage": usage}}}).agents[AGENT]["token_usage"]
    assert (read["sonnet"]["untyped"], read["opus"]["untyped"]) == (245000, 6)


def test_a_file_without_a_version_is_an_old_one_and_an_empty_object_is_a_document() -> None:
    assert recoded(b"{}")["version"] == "7.0"
    assert recoded(b'{"version": null}') == recoded(b"{}")


def test_a_newer_minor_version_is_read_and_keeps_its_number() -> None:
    assert recoded(b'{"version": "7.3", "novelty": 1}').items() >= {"version": "7.3", "novelty": 1}.items()


@layouts
@pytest.mark.parametrize("version", ["8.0", "10.1", 8])
def test_a_newer_major_version_is_refused(version: object, layout: dict[str, Any]) -> None:
    text = json.dumps(
        {"version": version, "sequence": 1, "agents": {AGENT: {"failures": "x"}}, "history": []}, **layout
    )
    with pytest.raises(UnsupportedVersionError) as raised:
        decode(text.encode() + b"\n")
    assert raised.value.place == "$.version"


def test_naive_timestamps_are_kept_as_they_are_written() -> None:
    agent = {"status": "blacklisted", "last_failure": "2026-02-15T21:30:00", "blacklisted_until": "2026-02-15 21:40"}
    assert is_kept(agent, value_of(document_of({"agents": {AGENT: agent}}))["agents"][AGENT])


PLACE = f'$.agents["{AGENT}"]'
WRONG: list[tuple[Any, str]] = [
    ([], "$"),
    ({"version": "seven"}, "$.version"),
    ({"updated": 5}, "$.updated"),
    ({"sequence": "1"}, "$.sequence"),
    ({"config": []}, "$.config"),
    ({"agents": []}, "$.agents"),
    ({"agents": {AGENT: None}}, PLACE),
    ({"agents": {AGENT: {"status": 1}}}, f"{PLACE}.status"),
    ({"agents": {AGENT: {"failures": "x"}}}, f"{PLACE}.failures"),
    ({"agents": {AGENT: {"failures": True}}}, f"{PLACE}.failures"),
    ({"agents": {AGENT: {"failures": -1}}}, f"{PLACE}.failures"),
    ({"agents": {AGENT: {"blacklisted_until": "soon"}}}, f"{PLACE}.blacklisted_until"),
    ({"agents": {AGENT: {"last_failure": 1_771_191_000}}}, f"{PLACE}.last_failure"),
    ({"agents": {AGENT: {"metrics": {"tasks_total": 1.5}}}}, f"{PLACE}.metrics.tasks_total"),
    ({"agents": {AGENT: {"metrics": None}}}, f"{PLACE}.metrics"),
    ({"agents": {AGENT: {"token_usage": {"sonnet": 3}}}}, f'{PLACE}.token_usage["sonnet"]'),
    ({"agents": {AGENT: {"token_usage": {"sonnet": {"total": None}}}}}, f'{PLACE}.token_usage["sonnet"].total'),
    ({"agents": {AGENT: {"models": {"m": {"input": "1"}}}}}, f'{PLACE}.models["m"].input'),
    ({"agents": {AGENT: {"circuit": {"generation": None}}}}, f"{PLACE}.circuit.generation"),
    ({"agents": {AGENT: {"durations": {"buckets": [1, 2]}}}}, f"{PLACE}.durations.buckets"),
    ({"agents": {AGENT: {"tallies": {"lost": 0.5}}}}, f"{PLACE}.tallies.lost"),
    ({"metrics": {"failed": "1"}}, "$.metrics.failed"),
    ({"in_flight": {"r": 1}}, '$.in_flight["r"]'),
    ({"in_flight": {"r": {"agent": AGENT}}}, '$.in_flight["r"].started'),
    ({"history": {}}, "$.history"),
    ({"history": [{}, 1]}, "$.history[1]"),
]


@pytest.mark.parametrize("layout", [LAYOUTS["compact"], LAYOUTS["2"]], ids=["compact", "2"])
@pytest.mark.parametrize(
    ("value", "place"), WRONG, ids=[f"{place}-{number}" for number, (_, place) in enumerate(WRONG)]
)
def test_a_value_of_the_wrong_type_is_refused_with_its_place(value: Any, place: str, layout: dict[str, Any]) -> None:
    with_history = {"sequence": 1, "history": [], **value} if isinstance(value, dict) else value
    with pytest.raises(DocumentError) as raised:
        decode(json.dumps(with_history, **layout).encode() + b"\n")
    assert raised.value.place == place
    assert f"cannot read {PATH}: {place}: expected " in str(raised.value)


@pytest.mark.parametrize("config", [{"failure_threshold": "x"}, {"cooldown_minutes": None, "other": [1]}])
def test_a_wrong_value_inside_config_is_no_damage_and_stays(config: dict[str, Any]) -> None:
    assert is_kept(config, recoded(json.dumps({"config": config}).encode())["config"])


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize(
    "text",
    [
        '{"x": %s}',
        '{"history": [{"x": %s}]}',
        '{\n  "sequence": 1,\n  "agents": {\n    "a": {\n      "x": %s\n    }\n  },\n  "history": []\n}\n',
    ],
    ids=["top", "history", "agent"],
)
def test_a_number_that_cannot_be_written_again_is_refused(text: str, number: str) -> None:
    with pytest.raises(DocumentError):
        decode((text % number).encode())


@pytest.mark.parametrize("text", [b"", b" \n", b"\0" * 4096, b"{", b"null", b"\xff\xfe{", b'{"a": "\xe9"}', b"{} {}"])
def test_what_is_no_json_object_is_a_document_error(text: bytes) -> None:
    with pytest.raises(DocumentError):
        decode(text)


def test_a_document_that_is_torn_anywhere_is_refused() -> None:
    text = text_of(folded(start("r1"), end("r2"), end("r3"), into=document_of()))
    for length in range(len(text) - 1):
        with pytest.raises(DocumentError):
            decode(text[:length])
    for hole in range(0, len(text) - 8, 8):
        with pytest.raises(DocumentError):
            decode(text[:hole] + b"\0" * 8 + text[hole + 8 :])


@pytest.mark.parametrize("entry", ['{"a": oops}', '{"a": {"b": 1}', '{"a": 1} {"b": 2}', '{"a": NaN}'])
def test_a_damaged_line_of_history_is_a_document_error_when_it_is_read_at_the_latest(entry: str) -> None:
    text = '{\n  "sequence": 1,\n  "history": [\n    {"a": 0},\n    ENTRY\n  ]\n}\n'.replace("ENTRY", entry)
    with pytest.raises(DocumentError):
        decode(text.encode()).history.entries()


@pytest.mark.parametrize("text", ['{"x": %s}', '{"history": [{"x": %s}]}', '{"agents": {"a": {"x": %s}}}'])
def test_deep_nesting_survives_or_is_refused(text: str) -> None:
    deep = (text % ("[" * 200 + "]" * 200)).encode()
    assert is_kept(json.loads(deep), recoded(deep))
    with pytest.raises(DocumentError):
        decode((text % ("[" * 200_000 + "]" * 200_000)).encode())


OUR_BEGINNING = '{\n  "version": "7.0",\n  "sequence": 1,\n'
ODD_LAYOUTS = {
    "agents of somebody else's, not indented, after a brace in a text": (
        '  "extra": {\n  "note": "}",\n  "agents": {\n    "x": {\n    }\n  }\n  },\n'
        '  "agents": {\n    "core/coder.md": {\n      "failures": 3\n    }\n  },\n  "history": []\n}\n'
    ),
    "agents of somebody else's and none of our own": (
        '  "extra": {\n  "note": "}",\n  "agents": {\n    "x": {\n    }\n  }\n  },\n  "history": []\n}\n'
    ),
    "agents of somebody else's and an empty object of our own": (
        '  "extra": {\n  "note": "}",\n  "agents": {\n    "x": {\n    }\n  }\n  },\n  "agents": {},\n  "history": []\n}\n'
    ),
    "history of somebody else's, not indented": (
        '  "extra": {\n  "history": [\n    {"a": 1}\n  ]\n  },\n  "history": [\n    {"b": 2}\n  ]\n}\n'
    ),
    "history of somebody else's before a list": (
        '  "extra": {\n  "history": [\n    {"a": 1}\n  ]\n},\n  "others": [\n    {"b": 2}\n  ]\n}\n'
    ),
    "a list that begins on the last line of the history": (
        '  "history": [\n    {"a": 1}], "others": [{"b": 2}\n  ]\n}\n'
    ),
    "an empty entry": '  "history": [\n    {"a": 1},\n    {},\n    {"b": 2}\n  ]\n}\n',
    "keys after the history": '  "history": [\n    {"a": 1}\n  ],\n  "extra": 1\n}\n',
    "agents after the history": (
        '  "history": [\n    {"a": 1}\n  ],\n  "agents": {\n    "x": {\n      "failures": 3\n    }\n  }\n}\n'
    ),
    "no history": '  "extra": 1\n}\n',
}


@pytest.mark.parametrize("text", ODD_LAYOUTS.values(), ids=ODD_LAYOUTS)
def test_a_layout_that_looks_like_our_own_is_not_taken_for_it(text: str) -> None:
    text = OUR_BEGINNING + text
    document = decode(text.encode())
    assert document.history.entries() == json.loads(text).get("history", [])
    assert list(document.agents) == list(json.loads(text).get("agents", {}))
    assert is_kept(json.loads(text), value_of(document))


@pytest.mark.parametrize("text", ODD_LAYOUTS.values(), ids=ODD_LAYOUTS)
def test_the_beginning_of_a_layout_that_looks_like_our_own_misleads_no_reader(text: str) -> None:
    whole = (OUR_BEGINNING + text).encode()
    beginning = DocumentCodec().decode_beginning(whole, PATH)
    document = decode(whole)
    assert beginning is None or (beginning.agents, beginning.config) == (document.agents, document.config)


def test_the_beginning_of_a_file_of_ours_says_the_whole_head_or_nothing() -> None:
    document = folded(
        start("r1"), end("r2"), end("r3", names.FAILURE, agent="x.md"), into=document_of({"extra": {"a": 1}})
    )
    text = text_of(document)
    beginnings = [DocumentCodec().decode_beginning(text[:length], PATH) for length in range(len(text) + 1)]
    heads = [beginning.head for beginning in beginnings if beginning is not None]
    assert heads == [document.head] * len(heads)
    assert heads
    assert beginnings[text.index(b'"history"')] is None
    assert beginnings[-1] is not None
    assert DocumentCodec().decode_beginning(REAL, PATH) is None


@pytest.mark.parametrize("wrong", [b'"failures": "x"', b'"failures": oops', b'"failures": 0}', b'"failures": NaN'])
def test_a_damaged_beginning_is_a_document_error_or_left_to_a_reader_of_the_whole(wrong: bytes) -> None:
    text = text_of(folded(end("r1"))).replace(b'"failures": 0', wrong)
    with suppress(DocumentError):
        assert DocumentCodec().decode_beginning(text, PATH) is None


@given(document_values, st.sampled_from(list(LAYOUTS.values())), st.sampled_from(["\n", "\r\n"]))
def test_all_that_a_document_says_survives_a_rewrite(value: Any, layout: dict[str, Any], newline: str) -> None:
    try:
        text = (json.dumps(value, **layout) + "\n").replace("\n", newline).encode()
    except UnicodeEncodeError:  # half of a surrogate pair has no UTF-8
        text = json.dumps(value).encode()
    written = text_of(decode(text))
    assert is_kept(json.loads(text), json.loads(written))
    assert text_of(decode(written)) == written


@given(
    document_values, st.lists(st.sampled_from(["", " ", "\n", "\n  ", "\n    ", "\n      "]), min_size=1, max_size=9)
)
def test_white_space_means_nothing(value: Any, gaps: list[str]) -> None:
    text = spaced(value, itertools.cycle(gaps)).encode() + b"\n"
    document = decode(text)
    assert document.history.entries() == json.loads(text).get("history", [])
    assert value_of(document) == value_of(document_of(json.loads(text)))


ODD_RUNNING = {
    "running tasks of somebody else's": '  "extra": {\n  "in_flight": {\n    "x": {"a": 1}\n  }\n  }',
    "running tasks of somebody else's, and none of our own": (
        '  "extra": {\n  "in_flight": {\n    "x": {"a": 1}\n  }\n  },\n  "in_flight":{}'
    ),
    "a brace in a text": '  "extra": {\n  "a": "}",\n  "in_flight": {\n    "x": {"a": 1}\n  }\n  },\n  "in_flight":{}',
    "a list in a running task": (
        '  "in_flight": {\n    "r": {"agent": "a", "started": "2026-02-15T21:30:00Z", "more": [{"b": 1\n}\n  ]}\n  }'
    ),
    "a running task over several lines": (
        '  "in_flight": {\n    "r": {\n      "agent": "a",\n      "started": "2026-02-15T21:30:00Z"\n    }\n  }'
    ),
}


@pytest.mark.parametrize("text", ODD_RUNNING.values(), ids=ODD_RUNNING)
def test_a_codec_that_remembers_running_tasks_is_not_misled(text: str) -> None:
    remembering = DocumentCodec()
    text_of(folded(start("r1"), end("r2")), remembering)
    whole = (OUR_BEGINNING + '  "agents": {\n    "x": {\n      "failures": 3\n    }\n  },\n' + text).encode()
    whole += b',\n  "history": []\n}\n'
    assert remembering.decode(whole, PATH).head == decode(whole).head


def test_a_document_has_one_line_for_each_running_task() -> None:
    document = folded(start("r1", owner={"pid": 1}), start("r2"), end("r3"))
    lines = text_of(document).decode().splitlines()
    assert [line.strip()[:6] for line in lines if '"started": "' in line and '"agent": ' in line][:2] == [
        '"r1": ',
        '"r2": ',
    ]


@settings(max_examples=50)
@given(st.lists(st.tuples(document_values, json_values, st.booleans()), min_size=2, max_size=4))
def test_a_codec_that_remembers_reads_and_writes_as_a_fresh_one(steps: list[tuple[Any, Any, bool]]) -> None:
    remembering = DocumentCodec()
    agents: dict[str, Any] = {}
    for value, novelty, is_reread in steps:
        agents = {**agents, **value.get("agents", {})}
        head = {key: known for key, known in value.items() if key != "history"}
        whole = {**head, "agents": agents, "novelty": novelty, "history": value["history"]}
        text = json.dumps(whole, indent=2).encode() + b"\n"
        document = remembering.decode(text, PATH)
        assert (document.head, document.history.entries()) == (decode(text).head, decode(text).history.entries())
        for changed in (document, folded(end(outcome=names.FAILURE), into=document)):
            written = text_of(changed, remembering)
            assert json.loads(written) == value_of(changed)
            if is_reread:
                assert remembering.decode(written, PATH).head == decode(written).head


def test_the_sequence_can_be_read_from_the_beginning_of_our_own_files_only() -> None:
    text = text_of(folded(end("r1"), end("r2")))
    assert sequence_of(text[:200]) == 2
    assert sequence_of(REAL) is None
    assert sequence_of(b'{\n  "version": "7.0",\n  "extra": {\n  "sequence": 9,\n  "x": 1\n}}\n') is None
    assert sequence_of(b'{\n  "version": "7.0",\n  "sequence": 12') is None
