import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_tracker.errors import DocumentError
from otel_tracker.state.codec import DocumentCodec
from otel_tracker.state.document import Document, History, decode_json, encode_line, new_document
from tests.builders import json_values

if TYPE_CHECKING:
    from collections.abc import Callable

Entry = dict[str, Any]

_steps = st.tuples(st.just("append"), st.integers(1, 300)) | st.tuples(st.just("drop"), st.integers(-1, 200))


def entry(number: int) -> Entry:
    return {"id": f"e{number}", "text": 'a "quoted", text\n    {"id": "x"},\n    é \ud800', "number": number}


@given(st.integers(0, 5), st.lists(_steps, max_size=6))
def test_a_history_behaves_as_a_list_whatever_is_appended_and_dropped(
    begun_with: int, steps: list[tuple[str, int]]
) -> None:
    model = [entry(number) for number in range(begun_with)]
    made, history = begun_with, History.of(model)
    earlier: list[tuple[History, list[Entry]]] = []
    for step, number in steps:
        earlier.append((history, list(model)))
        if step == "append":
            for made in range(made + 1, made + 1 + number):  # noqa: B020 - goes on where the last step stopped
                history = history.append(encode_line(entry(made)))
                model.append(entry(made))
        else:
            history = history.drop_first(number)
            model = model[max(0, number) :]
    for past, entries in [*earlier, (history, model)]:
        assert past.count == len(entries)
        assert list(past.oldest()) == entries
        assert past.entries() == entries


@given(st.lists(st.dictionaries(st.text(min_size=1, max_size=3), json_values, min_size=1), max_size=6))
def test_a_history_gives_back_any_entry_one_to_a_line(entries: list[Entry]) -> None:
    entries = json.loads(json.dumps(entries))
    history = History.of(entries)
    for one in entries:
        history = history.append(encode_line(one))
    assert history.entries() == list(history.oldest()) == entries * 2
    assert b"".join(history.pieces()).count(b"\n") == len(entries) * 2


def test_the_oldest_entry_can_be_had_without_parsing_the_others() -> None:
    text = b'{\n  "sequence": 1,\n  "history": [\n    {"a": 1},\n    {"b": oops}\n  ]\n}\n'
    oldest = DocumentCodec().decode(text, "circuit-breaker.json").history.oldest()
    assert next(oldest) == {"a": 1}
    with pytest.raises(DocumentError):
        next(oldest)


def test_a_line_of_json_is_utf8_and_one_with_half_of_a_surrogate_pair_is_ascii() -> None:
    assert encode_line({"name": "é"}) == '{"name": "é"}'.encode()
    assert json.loads(encode_line({"name": "é \ud800"})) == {"name": "é \ud800"}
    assert b"\n" not in encode_line({"name": "two\nlines"})


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_json_has_no_number_for_is_no_line(number: float) -> None:
    with pytest.raises(ValueError):
        encode_line({"duration_seconds": number})


def test_a_new_document_knows_no_agent_and_has_the_keys_of_the_format() -> None:
    document: Document = new_document()
    assert (document.sequence, document.agents, document.history.entries()) == (0, {}, [])
    assert {"version", "updated", "config", "agents", "metrics"} <= set(document.head)
    document.agents["a.md"] = {}
    assert new_document().agents == {}


def at_any_depth(act: "Callable[[], Any]") -> "list[Any]":
    """Return what `act` returns to callers that are ever deeper in the stack, up to the recursion limit."""
    results: list[Any] = []

    def go_deeper(left_alone: int) -> None:
        with suppress(RecursionError):
            if not left_alone:
                results.append(act())
            go_deeper(max(0, left_alone - 1))

    go_deeper(sys.getrecursionlimit() - 300)
    return results


def test_a_text_has_its_value_however_deep_in_the_stack_the_caller_is() -> None:
    values = at_any_depth(lambda: decode_json(b'{"a": [1.5, {"b": null}]}'))
    assert len(values) > 100
    assert all(value == {"a": [1.5, {"b": None}]} for value in values)


@pytest.mark.parametrize("text", [b"[" * 100_000, b"{", b"NaN", b"1e999", b"\xff"])
def test_what_is_no_value_is_none_however_deep_in_the_stack_the_caller_is(text: bytes) -> None:
    def is_refused() -> bool:
        try:
            decode_json(text)
        except ValueError:
            return True
        return False

    assert all(at_any_depth(is_refused))
