"""What requests cost: the table against the library that it is made of, and the rules of reading it."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from importlib.metadata import version
from itertools import product
from typing import Any

import pytest
from genai_prices import Usage
from genai_prices.data_snapshot import find_provider_by_id, get_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_tracker.names import TOKEN_KEYS
from otel_tracker.state.checks import ShapeError
from otel_tracker.state.prices import PriceTable, micro_dollars, spellings
from tools import prices as made

Tokens = dict[str, int]

CONTENT = json.loads(made.PATH.read_text(encoding="utf-8"), parse_float=str)
TABLE = PriceTable(CONTENT["models"])
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()
MILLION = {"input": 1_000_000}


def dollars(model: str, tokens: Tokens, at: float = NOW, *, speed: str | None = None) -> float:
    cost = TABLE.cost(model, tokens, at, speed=speed)
    assert cost is not None
    return cost / 1_000_000


def at(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


# Against the library.

PRICED = [
    (provider, model, names)
    for provider in get_snapshot().providers
    if provider.id in made.PROVIDERS
    for model in provider.models
    if made.prices_of(provider, model) and (names := made.names_of(provider, model))
]
MODELS = [
    (provider, model, name)
    for provider, model, names in PRICED
    for name in (*names, model.id)
    if not name.startswith("regional.")  # the library's word for what Bedrock calls us., eu., jp. and so on
]


def library_cost(
    provider: Any, model: Any, tokens: Tokens, moment: float, context: dict[str, str] | None = None
) -> int:
    """Return what the library says that a request costs, rounded to the micro-dollar."""
    new, read, written = (tokens.get(kind, 0) for kind in ("input", "cache_read", "cache_write"))
    usage = Usage(
        input_tokens=new + read + written,
        output_tokens=tokens.get("output", 0),
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=tokens.get("cache_write_1h", 0),
    )
    when = datetime.fromtimestamp(moment, UTC)
    total = model.calc_price(usage, provider, genai_request_timestamp=when, price_context=context).total_price
    return int((total * 1_000_000).quantize(Decimal(1), ROUND_HALF_EVEN))


def sizes() -> st.SearchStrategy[int]:
    edges = st.sampled_from([0, 1, 99_999, 100_000, 100_001, 128_000, 200_000, 200_001, 272_000, 272_001])
    return st.integers(0, 2_000_000) | st.integers(0, 3000) | edges


@st.composite
def requests(draw: st.DrawFn) -> Tokens:
    tokens = {kind: draw(sizes()) for kind in ("input", "output", "cache_read", "cache_write")}
    return tokens | {"cache_write_1h": draw(st.integers(0, tokens["cache_write"]))}


def moments() -> st.SearchStrategy[float]:
    changes = [date for line in CONTENT["models"].values() if isinstance(line, list) for date in line[1:]]
    edges = sorted({at(period["from"]) + seconds for period in changes for seconds in (-0.001, 0, 1)})
    return st.floats(at("2024-01-01"), at("2027-12-31")) | st.sampled_from(edges)


@settings(max_examples=500)
@given(st.sampled_from(MODELS), requests(), moments(), st.sampled_from([None, "standard", "fast"]))
def test_every_model_costs_what_the_library_says_to_the_micro_dollar(
    found: tuple[Any, Any, str], tokens: Tokens, moment: float, speed: str | None
) -> None:
    provider, model, name = found
    context = made.FAST.get(provider.id) if speed == "fast" else None
    cost = TABLE.cost(name, tokens, moment, speed=speed)
    if speed == "fast" and not has_fast_price(provider, model, moment):
        assert cost is None  # the library falls back to the usual price, which a fast request doesn't have
    else:
        assert type(cost) is int
        assert cost == library_cost(provider, model, tokens, moment, context)


def has_fast_price(provider: Any, model: Any, moment: float) -> bool:
    when = datetime.fromtimestamp(moment, UTC)
    return any(
        variant.when == made.FAST.get(provider.id) and (variant.constraint is None or variant.constraint.active(when))
        for variant in model.price_variants or []
    )


def test_every_price_of_every_model_is_the_librarys() -> None:
    for provider, model, names in PRICED:
        context = made.FAST.get(provider.id)
        for period in made.prices_of(provider, model):
            start = at(period.get("from", "1990-01-01"))
            for moment, number, kind in product((start - 1, start), (1000, 1_000_000), TOKEN_KEYS[:4]):
                tokens = {kind: number, **({"cache_write_1h": number // 3} if kind == "cache_write" else {})}
                assert TABLE.cost(names[0], tokens, moment) == library_cost(provider, model, tokens, moment)
                if has_fast_price(provider, model, moment):
                    expected = library_cost(provider, model, tokens, moment, context)
                    assert TABLE.cost(names[0], tokens, moment, speed="fast") == expected


def test_the_names_of_the_table_are_the_librarys() -> None:
    assert {name for _, _, names in PRICED for name in names} == set(CONTENT["models"])
    for provider, model, names in PRICED:
        for name in names:
            spelled = [name, f"{name}-v1:0", model.id]  # some rules of Bedrock know a name only with its version
            assert model in [provider.find_model(text) for text in spelled if name in spellings(text)], name


WITHOUT_A_PRICE = {
    "embeddings, speech, transcription, moderation": r"embed|tts-1|whisper|transcribe|translate|gpt-live|moderation",
    "answers that are sound, pictures or films, whose tokens cost more than those of text": (
        r"sonic|audio|realtime|live|image|nano-banana|omni"
    ),
    "free of charge in the library": r"^gemma-(3|3n|4-26b-a4b-it|4-31b-it)$",
    "fine-tuned by a customer": r"^ft:|\.ft-",
    "a variant under a name of OpenRouter": r"^gpt-4o:extended$",
}


def test_only_models_for_other_things_than_text_are_left_out() -> None:
    left_out = {
        model.id
        for provider in get_snapshot().providers
        if provider.id in made.PROVIDERS
        for model in provider.models
        if not any(known is model for _, known, _ in PRICED)
        if not (provider.id == "google" and "claude" in model.id)  # they have Anthropic's names and prices: see below
    }
    assert {name for name in left_out if not any(re.search(rule, name) for rule in WITHOUT_A_PRICE.values())} == set()
    assert all(any(re.search(rule, name) for name in left_out) for rule in WITHOUT_A_PRICE.values())


VERTEX = [
    *("claude-opus-4-1", "claude-opus-4-5", "claude-opus-4-6", "claude-opus-4-7", "claude-opus-4-8", "claude-opus-5"),
    *("claude-opus-5-5", "claude-sonnet-4", "claude-sonnet-4-5", "claude-sonnet-4-6", "claude-sonnet-5"),
    *(
        "claude-sonnet-5-5",
        "claude-haiku-4-5",
        "claude-haiku-5-5",
        "claude-fable-5",
        "claude-fable-5-1",
        "claude-fable-5-2",
    ),
]
# The library has no prices for cache writes of an hour for these on Vertex AI, and charges those of 5 minutes.
VERTEX_WITHOUT_HOUR = ("claude-opus-4-1", "claude-sonnet-4")


@given(st.sampled_from(VERTEX), requests(), st.floats(at("2026-03-13"), at("2027-12-31")))
def test_claude_on_vertex_costs_what_the_library_says(name: str, tokens: Tokens, moment: float) -> None:
    provider = find_provider_by_id(get_snapshot().providers, "google-vertex")
    assert provider is not None
    model = provider.find_model(f"{name}@20260101", all_providers=get_snapshot().providers)
    if name in VERTEX_WITHOUT_HOUR:
        tokens = {**tokens, "cache_write_1h": 0}
    assert TABLE.cost(f"{name}@20260101", tokens, moment) == library_cost(provider, model, tokens, moment)


def test_the_table_is_as_new_as_the_installed_library() -> None:
    installed = f"{made.LIBRARY} {version(made.LIBRARY)}"
    made_now = made.text(made.table(), version(made.LIBRARY), CONTENT["date"])
    assert made_now == made.PATH.read_text(encoding="utf-8"), (
        f"prices.json is made of {CONTENT['source']}, and {installed} says otherwise: run make prices"
    )
    assert CONTENT["source"] == installed
    assert date.fromisoformat(CONTENT["date"]) <= datetime.now(UTC).date() + timedelta(days=1)


# The rules, by hand.


def test_the_size_of_the_prompt_chooses_the_price_of_the_whole_request() -> None:
    assert dollars("claude-sonnet-4-5", {"input": 300_000, "output": 1000}) == 1.8225
    assert dollars("claude-sonnet-4-5", {"input": 200_000, "output": 1000}) == 0.615
    assert dollars("claude-sonnet-4-5", {"cache_read": 200_000, "cache_write": 1}) == 0.120008
    assert dollars("claude-sonnet-4-5", {"input": 1, "output": 300_000}) == 4.500003


def test_writes_for_an_hour_are_a_part_of_the_writes_and_cost_more() -> None:
    tokens = {"input": 9933, "output": 801_111, "cache_read": 47_473_368, "cache_write": 3_197_129}
    assert dollars("claude-opus-4-8", tokens | {"cache_write_1h": 3_197_129}) == 75.785414
    assert dollars("claude-opus-4-8", tokens) == 63.79618
    assert dollars("claude-opus-4-8", {"cache_write": 5, "cache_write_1h": 7}) == 0.00005


def test_a_price_holds_from_the_midnight_of_its_date() -> None:
    tokens = {"input": 300_000}
    assert dollars("claude-opus-4-6", tokens, at("2026-03-13") - 0.001) == 3
    assert dollars("claude-opus-4-6", tokens, at("2026-03-13")) == 1.5
    assert dollars("claude-opus-4-6", tokens, 0) == 3


@pytest.mark.parametrize("usual", [None, "", "standard"])
def test_the_fast_mode_has_prices_of_its_own_or_none(usual: str | None) -> None:
    assert dollars("claude-opus-4-8", MILLION, speed=usual) == 5
    assert dollars("claude-opus-4-8", MILLION, speed="fast") == 10
    assert dollars("gpt-5.4", MILLION, speed=usual) == 5
    assert dollars("gpt-5.4", {"input": 2000}, speed="fast") == 0.01
    assert TABLE.cost("claude-opus-4-7", MILLION, NOW, speed="fast") is None
    assert TABLE.cost("claude-opus-4-8", MILLION, NOW, speed="faster") is None


@pytest.mark.parametrize(("tokens", "cost"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 2), (7, 4), (10**15, 5 * 10**14)])
def test_half_a_micro_dollar_is_rounded_to_the_even_one(tokens: int, cost: int) -> None:
    table = PriceTable({"cheap": {"input": "0.5", "output": 1}})
    assert table.cost("cheap", {"input": tokens}, NOW) == cost


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("claude-opus-4-5", 5),
        ("Claude-Opus-4-5", 5),
        (" claude-opus-4-5 ", 5),
        ("claude-opus-4-5-20251101", 5),
        ("claude-opus-4-5@20251101", 5),
        ("claude-opus-4-6@default", 5),
        ("claude-opus-4-5[1m]", 5),
        ("claude-sonnet-5[1m]", 2),
        ("claude-opus-4-5-20251101[1m]", 5),
        ("claude-opus-4-5@20251101[1m]", 5),
        ("anthropic/claude-opus-4.5", 5),
        ("us.anthropic.claude-opus-4-5-20251101-v1:0", 5.5),
        ("us.anthropic.claude-opus-4-5-20251101-v1:0[1m]", 5.5),
        ("us.anthropic.claude-opus-4-6-v1[1m]", 5.5),
        ("us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", 3.3),
        ("global.anthropic.claude-opus-4-5-20251101-v1:0", 5),
        ("anthropic.claude-haiku-4-5-20251001-v1:0", 1.1),
        ("anthropic.claude-3-sonnet-20240229-v1:0:200k", 3),
        ("arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-5", 5.5),
        ("arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0", 0.25),
        ("bedrock/us-east-1/us.anthropic.claude-opus-5", 5.5),
        ("bedrock/global.anthropic.claude-opus-5", 5),
        ("vertex_ai/claude-opus-4-5@20251101", 5),
        ("projects/p/locations/europe-west1/publishers/anthropic/models/claude-opus-4-5@20251101", 5),
        ("publishers/google/models/gemini-3.5-flash", 1.5),
        ("models/gemini-3.5-flash", 1.5),
        ("openai/gpt-5.2", 1.75),
        ("gpt-5.2-2025-12-11", 1.75),
        ("gpt-5.2-20251211", 1.75),
        ("gpt-4o-2024-05-13", 5),
        ("gpt-4o-20240513", 5),
        ("gpt-4o-2024-08-06", 2.5),
    ],
)
def test_what_stands_around_the_name_of_a_model_is_understood(model: str, price: float) -> None:
    assert dollars(model, MILLION, at("2026-04-01")) == price


@pytest.mark.parametrize(
    "model",
    [
        *("", "unknown", "opus", "sonnet", "haiku", "<synthetic>", "claude", "claude-opus", "claude-opus-9"),
        *("claude-opus-4-55", "claude-haiku-4-5-turbo", "claude-opus-4-5-20251301", "claude-opus-4-5[2m]"),
        *("gpt-5-ultra", "gpt-5.2-2025", "gemini-3.8-flash-lite", "gemini-2.5-pro-next", "o1-20", "gemma-3"),
        *(
            "github-copilot/claude-opus-4.5",
            "openrouter/anthropic/claude-opus-4.5",
            "azure/gpt-5",
            "bedrock/claude-opus-5",
        ),
        *("ca.anthropic.claude-opus-5", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"),
        *("ft:gpt-4o-2024-08-06:us::x", "text-embedding-3-small", "gpt-realtime", "anthropic.claude-opus-9-v1:0"),
    ],
)
def test_a_model_without_a_price_is_neither_free_nor_guessed(model: str) -> None:
    assert TABLE.cost(model, MILLION, NOW) is None
    assert TABLE.cost(model, {}, NOW) is None


def test_tokens_without_a_type_have_no_price() -> None:
    assert TABLE.cost("claude-opus-5", {"input": 1, "untyped": 1}, NOW) is None
    assert TABLE.cost("claude-opus-5", {"input": 1, "untyped": 0}, NOW) == 5
    assert TABLE.cost("claude-opus-5", {}, NOW) == 0


# A user's own table.

OWN: dict[str, Any] = {
    "Our-Model": {"input": "0.25", "output": 1},
    "our-gateway": "claude-opus-4-8[1m]",
    "claude-opus-5": {"input": 1, "output": 2, "cache_read": "0.1", "cache_write": "1.25", "cache_write_1h": 2},
    "dated": [{"input": 1, "output": 1}, {"from": "2026-10-01", "input": 2, "output": 1}],
    "tiered": {
        "input": 1,
        "output": 1,
        "tiers": [{"above": 10, "input": 2, "output": 2}, {"above": 20, "input": 3, "output": 3}],
    },
    "quick": {
        "input": 1,
        "output": 1,
        "fast": {"input": 6, "output": 6, "tiers": [{"above": 9, "input": 7, "output": 7}]},
    },
}


@pytest.mark.parametrize(
    ("model", "tokens", "speed", "cost"),
    [
        ("our-model", {"input": 4, "cache_read": 4, "cache_write": 4, "cache_write_1h": 4, "output": 1}, None, 4),
        ("our-gateway", {"input": 1}, None, 5),
        ("our-gateway", {"input": 1}, "fast", 10),
        ("claude-opus-5-20260901[1m]", {"input": 1, "cache_write": 2, "cache_write_1h": 2}, None, 5),
        ("claude-opus-5", {"input": 1}, "fast", None),
        ("us.anthropic.claude-opus-5", {"input": 2}, None, 11),
        ("dated", {"input": 1}, None, 2),
        ("tiered", {"input": 10}, None, 10),
        ("tiered", {"input": 11}, None, 22),
        ("tiered", {"input": 21, "output": 1}, None, 66),
        ("quick", {"input": 10}, "fast", 70),
        ("claude-opus-4-8", {"input": 1}, None, 5),
    ],
)
def test_a_users_own_prices_go_first(model: str, tokens: Tokens, speed: str | None, cost: int | None) -> None:
    assert PriceTable(CONTENT["models"], OWN).cost(model, tokens, NOW, speed=speed) == cost


ROW: dict[str, Any] = {"input": 1, "output": 2}


@pytest.mark.parametrize(
    ("entry", "place", "reason"),
    [
        (3, "", "an object of prices, got 3"),
        (None, "", "an object of prices, got None"),
        ([], "", "at least one object of prices"),
        ("claude-opus-9", "", "a model that has a price already, got 'claude-opus-9'"),
        ({}, ".input", "got none"),
        ({"input": 1}, ".output", "got none"),
        ({**ROW, "input": -1}, ".input", "got -1"),
        ({**ROW, "input": True}, ".input", "got True"),
        ({**ROW, "input": None}, ".input", "got None"),
        ({**ROW, "input": 0.5}, ".input", "got 0.5"),
        ({**ROW, "input": "0.0000001"}, ".input", "at most 6 decimals, got '0.0000001'"),
        ({**ROW, "input": "1e-3"}, ".input", "got '1e-3'"),
        ({**ROW, "input": "٣"}, ".input", "got '٣'"),
        ({**ROW, "input": "."}, ".input", "got '.'"),
        ({**ROW, "input": 10**12}, ".input", "got 1000000000000"),
        ({**ROW, "cache_reads": 1}, "", "no key 'cache_reads'; there are input, output, cache_read, cache_write"),
        ({**ROW, "from": "2026-01-01"}, "", "`from`, a date, in all prices of a model but its first"),
        ([ROW, ROW], "[1]", "`from`, a date, in all prices of a model but its first"),
        ([ROW, {**ROW, "from": "soon"}], "[1].from", "a date such as \"2026-03-13\", got 'soon'"),
        ([ROW, {**ROW, "from": 2026}], "[1].from", "got 2026"),
        ([ROW, *[{**ROW, "from": "2026-01-01"}] * 2], "", "each `from` to be later"),
        ({**ROW, "tiers": {}}, ".tiers", "a list"),
        ({**ROW, "tiers": [ROW]}, ".tiers[0].above", "a number of tokens"),
        ({**ROW, "tiers": [{**ROW, "above": 5}] * 2}, ".tiers[1].above", "larger in each tier, got 5"),
        ({**ROW, "tiers": [{"above": 5, "input": 1}]}, ".tiers[0].output", "got none"),
        ({**ROW, "tiers": [{**ROW, "above": 5, "tiers": []}]}, ".tiers[0]", "no key 'tiers'"),
        ({**ROW, "fast": {}}, ".fast.input", "got none"),
        ({**ROW, "fast": {**ROW, "from": "2026-01-01"}}, ".fast", "no key 'from'"),
    ],
)
def test_a_wrong_price_is_an_error_that_names_its_place(entry: Any, place: str, reason: str) -> None:
    with pytest.raises(ShapeError) as raised:
        PriceTable(CONTENT["models"], {"mine": entry})
    assert raised.value.json_path == f'$.models["mine"]{place}'
    assert reason in raised.value.reason


def entries() -> st.SearchStrategy[Any]:
    keys = st.sampled_from(["input", "output", "cache_read", "from", "above", "tiers", "fast", "speed"])
    single = st.none() | st.booleans() | st.integers() | st.text() | st.decimals().map(str) | st.dates().map(str)
    return st.recursive(single, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner), max_leaves=12)


@settings(max_examples=500)
@given(entries(), requests(), st.floats(allow_nan=False))
def test_whatever_a_user_writes_is_a_price_or_an_error_with_its_place(
    entry: Any, tokens: Tokens, moment: float
) -> None:
    place = ""
    try:
        cost = PriceTable(CONTENT["models"], {"mine": entry}).cost("mine", tokens, moment)
    except ShapeError as error:
        cost, place = None, error.json_path
    assert place.startswith('$.models["mine"]') or (cost is not None and cost >= 0)


# Costs that others report.


@pytest.mark.parametrize(
    ("dollars", "cost"),
    [
        (0, 0),
        (3, 3_000_000),
        (0.0512, 51_200),
        (0.1 + 0.2, 300_000),
        (1e-7, 0),
        (5e-7, 0),
        (0.0000015, 2),
        (0.0000025, 2),
        (12345.678901, 12_345_678_901),
        *[(no_cost, None) for no_cost in (-0.1, True, None, "0.1", (), float("nan"), float("inf"), 1e30)],
    ],
)
def test_a_reported_cost_is_taken_to_the_micro_dollar(dollars: Any, cost: int | None) -> None:
    assert micro_dollars(dollars) == cost
