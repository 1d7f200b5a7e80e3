"""Make the table of prices: `make prices` writes otel_tracker/state/prices.json from the data of the installed genai-prices.

The library finds a model by rules such as "begins with claude-opus-4-1", which would also price models that don't exist
yet. Here only the names that its rules spell out become names of the table: what stands around them is for
`otel_tracker/state/prices.py` to understand.
"""

import datetime as dt
import importlib.metadata
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

from genai_prices import types
from genai_prices.data_snapshot import get_snapshot

from otel_tracker.state.prices import spellings

Json = dict[str, Any]

LIBRARY = "genai-prices"
PATH = Path(__file__).parent.parent / "otel_tracker" / "state" / "prices.json"
PROVIDERS = ("anthropic", "aws", "google", "openai")
"""Those of the agents that can be recorded; Claude models on Vertex AI have the names and prices of Anthropic."""
KEYS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
}
FAST = {"anthropic": {"speed": "fast"}, "openai": {"service_tier": "fast"}}
_OTHER_THAN_TEXT = ("audio", "image", "video")
_NAME = re.compile(r"(?!.*-20\d\d$)[a-z][^:/]*\w")  # and no beginning of a name that ends within a date
_VERSION = re.compile(r"^([a-z-]+\..*)-v\d+$")  # of a model of Bedrock
_DASHED_DATE = re.compile(r"-(20\d\d)-(\d\d)-(\d\d)$")
_OF_BEDROCK = re.compile(r"(?!regional\.)(?:[a-z-]+\.)+")  # `regional.` is the library's word for us., eu. and so on
_REGIONS = ("", *(f"{region}." for region in ("us", "us-gov", "eu", "apac", "au", "jp")))


def table() -> Json:
    """Return the names of the table with their prices, or with the name that has the same ones, in alphabetical order."""
    models: Json = {}
    for provider in get_snapshot().providers:
        if provider.id not in PROVIDERS:
            continue
        for model in provider.models:
            names, prices = names_of(provider, model), prices_of(provider, model)
            if names and prices:
                models |= dict.fromkeys(names, names[0]) | {names[0]: prices[0] if len(prices) == 1 else prices}
    return dict(sorted(models.items()))


def names_of(provider: types.Provider, model: types.ModelInfo) -> list[str]:
    """Return the names by which a model is found: first its own one, or the shortest."""
    spelled = _whole_names(provider, [text.lower() for text in (model.id, *_spelled(model.match))])
    names = {
        _VERSION.sub(r"\1", name) for name in spelled if _NAME.fullmatch(name) if provider.find_model(name) is model
    }
    names |= {_DASHED_DATE.sub(r"-\1\2\3", name) for name in names}  # LiteLLM writes dates without dashes
    needed = {name for name in names if not names.intersection(list(spellings(name))[1:])}
    own = next((name for name in spellings(model.id) if name in needed), None)
    return sorted(needed, key=lambda name: (name != own, len(name), name))


def _whole_names(provider: types.Provider, spelled: list[str]) -> list[str]:
    """Return those that are names of this provider alone: on Bedrock, where Claude costs something else, with `anthropic.`."""
    if provider.id == "aws":
        whole = [name for name in spelled if _OF_BEDROCK.match(name)]
        return whole or [f"{region}anthropic.{name}" for name in spelled[1:] for region in _REGIONS]
    return [name for name in spelled if not (provider.id == "google" and "claude" in name)]


def _spelled(clause: Any) -> Iterator[str]:
    """Yield the names that a rule has in it; a rule that must not apply has none."""
    if isinstance(clause, types.ClauseOr | types.ClauseAnd):
        inner = clause.or_ if isinstance(clause, types.ClauseOr) else clause.and_
        yield from chain.from_iterable(map(_spelled, inner))
    elif not isinstance(clause, types.ClauseRegex):
        yield from vars(clause).values()


def prices_of(provider: types.Provider, model: types.ModelInfo) -> list[Json]:
    """Return the prices of a model in the order of their dates; none where its text has no price."""
    variants = [v for v in model.price_variants or [] if v.when == FAST.get(provider.id)]
    conditions = model.prices if isinstance(model.prices, list) else [types.ConditionalPrice(prices=model.prices)]
    dates = sorted({_start(condition) for condition in (*conditions, *variants)} | {dt.date.min})
    periods: list[Json] = []
    for date in dates:
        moment = dt.datetime.combine(date, dt.time(), dt.UTC)
        standard = model.get_prices(moment)
        if not _is_for_text(standard):
            return []
        period = _tiered(standard)
        if any(_start(variant) <= date for variant in variants):
            period["fast"] = _tiered(model.get_prices(moment, FAST[provider.id]))
        if not periods or period != {key: value for key, value in periods[-1].items() if key != "from"}:
            periods.append(period if date == dt.date.min else {"from": date.isoformat(), **period})
    return periods


def _is_for_text(prices: types.ModelPrice) -> bool:
    """Tell whether a text and its answer have prices; sound, pictures and films in answers cost more, and we don't see them."""
    keys = vars(prices).keys()
    return {"input_mtok", "output_mtok"} <= keys and not keys & {f"output_{kind}_mtok" for kind in _OTHER_THAN_TEXT}


def _start(condition: Any) -> dt.date:
    constraint = condition.constraint
    if constraint is None:
        return dt.date.min
    if not isinstance(constraint, types.StartDateConstraint):
        raise TypeError(f"prices.json has no place for {constraint!r}: extend otel_tracker/state/prices.py")
    start: dt.date = constraint.start_date
    return start


def _tiered(prices: types.ModelPrice) -> Json:
    """Return prices with the tiers above them."""
    tiered = [price for key in KEYS.values() if isinstance(price := _price(prices, key), types.TieredPrices)]
    starts = sorted({tier.start for price in tiered for tier in price.tiers})
    tiers = [{"above": start, **_prices_above(prices, start)} for start in starts]
    return {**_prices_above(prices, -1), **({"tiers": tiers} if tiers else {})}


def _prices_above(prices: types.ModelPrice, size: int) -> Json:
    """Return the prices by type of token of requests whose prompts are a little larger than `size` tokens."""
    present = {name: price for name, key in KEYS.items() if (price := _price(prices, key)) is not None}
    return {name: _number(_at_size(price, size)) for name, price in present.items()}


def _at_size(price: Decimal | types.TieredPrices, size: int) -> Decimal:
    if isinstance(price, types.TieredPrices):
        price = next((tier.price for tier in reversed(price.tiers) if tier.start <= size), price.base)
    return Decimal(price)


def _price(prices: types.ModelPrice, key: str) -> Decimal | types.TieredPrices | None:
    price: Decimal | types.TieredPrices | None = vars(prices).get(key)
    return price


def _number(price: Decimal) -> int | float:
    return int(price) if price == int(price) else float(price)


def text(models: Json, version: str, date: str) -> str:
    """Return the file's text, a line for each model, so that a change of prices can be read as one."""
    lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(prices)}" for name, prices in models.items())
    head = {"source": f"{LIBRARY} {version}", "date": date, "unit": "US dollars for a million tokens"}
    fields = "".join(f"  {json.dumps(key)}: {json.dumps(value)},\n" for key, value in head.items())
    return f'{{\n{fields}  "models": {{\n{lines}\n  }}\n}}\n'


def main() -> None:
    """Write the table; its date is the day on which this version of the library first gave it."""
    before = PATH.read_text(encoding="utf-8") if PATH.exists() else "{}"
    models, version = table(), importlib.metadata.version(LIBRARY)
    if before != text(models, version, json.loads(before).get("date", "")):
        today = dt.datetime.now(dt.UTC).date().isoformat()
        PATH.write_text(text(models, version, today), encoding="utf-8")


if __name__ == "__main__":
    main()
