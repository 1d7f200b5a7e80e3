"""What a request to a model costs by list prices: models and tokens in, whole micro-dollars out. Pure.

A table of prices maps a model's name to its prices in US dollars for a million tokens, as `docs/prices.md` describes.
All arithmetic is in whole numbers, so the sum of many costs is the same in every order.
"""

import re

from otel_tracker.names import CACHE_WRITE_1H
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.state.checks import ShapeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, Protocol

    # Of input, output, cache reads, cache writes for 5 minutes and for an hour, in micro-dollars for a million tokens.
    Rates = tuple[int, int, int, int, int]
    Tiers = tuple[tuple[int, Rates], ...]  # each for prompts of more tokens than its number, the largest number first
    Period = tuple[float, Tiers, Tiers | None]  # from when on it holds, its prices, and those of the fast mode

    class Cost(Protocol):
        """What a request costs in micro-dollars, None where there is no price (PriceTable.cost)."""

        def __call__(self, model: str, tokens: Mapping[str, int], at: float, *, speed: str | None) -> int | None:
            """Return the cost of tokens by type, at a moment and a speed."""


MICRO_DOLLARS = 1_000_000
"""How many make a dollar."""
_MILLION_TOKENS = 1_000_000
_DECIMALS = 6  # of a price in dollars: one more digit would be a part of a micro-dollar for a million tokens
_DIGITS = 9  # before the point: a limit that only a slip exceeds
_FAST = "fast"
_USUAL_SPEEDS = (None, "", "standard")

_WAY = (  # to a model: what a gateway or a cloud puts before its own name
    r"(?:anthropic/|openai/|google/|gemini/|models/|vertex_ai/(?=claude|gemini)|"
    r"(?:projects/[^/]+/locations/[^/]+/)?publishers/[a-z]+/models/|"
    r"arn:aws[a-z-]*:bedrock:[^/]*/|bedrock/(?:[a-z0-9-]+/)?(?=[a-z-]+\.))(.+)"
)
_LONG_CONTEXT = r"(.+)\[1m\]"
_VERSION = r"((?:[a-z-]+\.)+.+?)(?:-v\d+|(?=:))(?::\d+k?)*"  # of a model of Bedrock
_SNAPSHOT = r"(.+)[-@](?:20\d\d(-?)(?:0[1-9]|1[0-2])\2(?:0[1-9]|[12]\d|3[01])|default)"
_AROUND = (_WAY, _LONG_CONTEXT, _VERSION, _SNAPSHOT)  # the model's own name, the outermost first; group 1 is what stays

_PRICES = ("input", "output", "cache_read", "cache_write", CACHE_WRITE_1H)
_A_PRICE = f"dollars for a million tokens, a number such as 3 or 0.125, with at most {_DECIMALS} decimals"


class PriceTable:
    """The prices of models: those of a user's `own` table, then those that the package has.

    Both map the name of a model to its prices, to a list of them in the order of their dates, or to the name of a model
    of the package's table that has the same ones. A price is a whole number, or a text where it has decimals, so that
    nothing is rounded. Raises ShapeError where `own` has anything else.
    """

    __slots__ = ("_models", "_own", "_periods")

    def __init__(self, models: "Mapping[str, Any]", own: "Mapping[str, Any] | None" = None) -> None:
        self._models = models
        self._own = {name.lower(): self._checked(name, entry) for name, entry in (own or {}).items()}
        self._periods: dict[str, tuple[Period, ...] | None] = {}  # of each model that was asked for

    def cost(self, model: str, tokens: "Mapping[str, int]", at: float, *, speed: "str | None" = None) -> "int | None":
        """Return what one request costs, in micro-dollars; None where the table can't say that.

        `tokens` are those of the whole request by type (names.TOKEN_KEYS): the size of the prompt chooses the tier. `at`
        is when it was made, in seconds since 1970, `speed` is what the API has said of it: `standard`, `fast`, or nothing.
        There may be no price for the model or for its speed; tokens without a type have none. Half a micro-dollar is rounded
        to the even one.
        """
        if model not in self._periods:
            self._periods[model] = self._periods_of(model)
        periods = self._periods[model]
        if periods is None or tokens.get("untyped"):
            return None
        _, standard, fast = next(period for period in reversed(periods) if period[0] <= at)
        tiers = standard if speed in _USUAL_SPEEDS else fast if speed == _FAST else None
        return None if tiers is None else _cost(tiers, tokens)

    def _periods_of(self, model: str) -> "tuple[Period, ...] | None":
        names = spellings(model) if self._own else ()
        own = next((self._own[name] for name in names if name in self._own), None)
        return own or self._packaged(model)

    def _packaged(self, model: str) -> "tuple[Period, ...] | None":
        name = next((name for name in spellings(model) if name in self._models), None)
        if name is None:
            return None
        entry = self._models[name]
        return _read_periods(name, self._models[entry] if isinstance(entry, str) else entry)

    def _checked(self, name: str, entry: "Any") -> "tuple[Period, ...]":
        if not isinstance(entry, str):
            return _read_periods(name, entry)
        periods = self._packaged(entry)
        if periods is None:
            raise ShapeError(_place(name), f"expected prices, or a model that has a price already, got {entry!r}")
        return periods


def micro_dollars(dollars: "Any") -> "int | None":
    """Return a cost that another program reports in dollars, in micro-dollars; None for anything that is no cost.

    Half a micro-dollar of what it has written is rounded to the even one.
    """
    if type(dollars) not in (int, float) or not 0 <= dollars < 10**_DIGITS:
        return None
    from decimal import Decimal  # a hook seldom reads such a report

    return round(Decimal(repr(dollars)) * MICRO_DOLLARS)


def spellings(model: str) -> "Iterator[str]":
    """Yield a model's name as it was recorded, in small letters, and then with less and less around it."""
    name = model.strip().lower()
    yield name
    for pattern in _AROUND:
        if match := re.fullmatch(pattern, name):  # compiled when it is first needed: hooks have no time
            name = match[1]
            yield name


def _cost(tiers: "Tiers", tokens: "Mapping[str, int]") -> int:
    new, read, written = tokens.get("input", 0), tokens.get("cache_read", 0), tokens.get("cache_write", 0)
    for_an_hour = min(tokens.get(CACHE_WRITE_1H, 0), written)
    prompt = new + read + written
    of_new, of_output, of_read, of_written, of_hour = next(rates for above, rates in tiers if prompt > above)
    cached = read * of_read + (written - for_an_hour) * of_written + for_an_hour * of_hour
    return _divided_to_even(new * of_new + tokens.get("output", 0) * of_output + cached, _MILLION_TOKENS)


def _divided_to_even(number: int, divisor: int) -> int:
    """Return the whole number nearest to the quotient, the even one of two as near."""
    quotient, rest = divmod(number, divisor)
    return quotient + (2 * rest > divisor or (2 * rest == divisor and quotient % 2))


def _read_periods(name: str, entry: "Any") -> "tuple[Period, ...]":
    """Return the prices of a model by the time from which each holds."""
    if not isinstance(entry, list):
        return (_period(_place(name), entry, is_first=True),)
    if not entry:
        raise ShapeError(_place(name), "expected at least one object of prices")
    periods = tuple(_period(f"{_place(name)}[{i}]", prices, is_first=i == 0) for i, prices in enumerate(entry))
    starts = [period[0] for period in periods]
    if starts != sorted(set(starts)):
        raise ShapeError(_place(name), "expected each `from` to be later than the one before")
    return periods


def _period(json_path: str, prices: "Any", *, is_first: bool) -> "Period":
    since = _expect_keys(json_path, prices, (*_PRICES, "from", "tiers", _FAST)).get("from")
    if (since is None) is not is_first:
        raise ShapeError(json_path, "expected `from`, a date, in all prices of a model but its first")
    standard = _tiers(json_path, {key: value for key, value in prices.items() if key not in ("from", _FAST)})
    fast = _tiers(f"{json_path}.{_FAST}", prices[_FAST]) if _FAST in prices else None
    return (float("-inf") if since is None else _moment(f"{json_path}.from", since)), standard, fast


def _tiers(json_path: str, prices: "Any") -> "Tiers":
    upper = _expect_keys(json_path, prices, (*_PRICES, "tiers")).get("tiers", [])
    if not isinstance(upper, list):
        raise ShapeError(f"{json_path}.tiers", f"expected a list, got {upper!r}")
    tiers = [(-1, _rates(json_path, prices))]
    for i, tier in enumerate(upper):
        inner = f"{json_path}.tiers[{i}]"
        above = _expect_keys(inner, tier, (*_PRICES, "above")).get("above")
        if type(above) is not int or above <= tiers[-1][0]:
            raise ShapeError(f"{inner}.above", f"expected a number of tokens, larger in each tier, got {above!r}")
        tiers.append((above, _rates(inner, tier)))
    return tuple(reversed(tiers))


def _rates(json_path: str, prices: "Mapping[str, Any]") -> "Rates":
    """Return the prices of each type of token: what has none of its own costs as much as what it is a kind of."""
    rate = {key: _rate(f"{json_path}.{key}", prices[key]) for key in _PRICES if key in prices}
    for key in ("input", "output"):
        if key not in rate:
            raise ShapeError(f"{json_path}.{key}", f"expected {_A_PRICE}, got none")
    read, write = rate.get("cache_read", rate["input"]), rate.get("cache_write", rate["input"])
    return rate["input"], rate["output"], read, write, rate.get(CACHE_WRITE_1H, write)


def _rate(json_path: str, price: "Any") -> int:
    """Return a price in dollars, a whole number or the text of one with decimals, in micro-dollars."""
    whole, _, fraction = str(price).partition(".")
    digits = whole + fraction.ljust(_DECIMALS, "0")
    is_number = type(price) in (int, str) and digits.isascii() and digits.isdigit()
    if not is_number or not 1 <= len(whole) <= _DIGITS or len(fraction) > _DECIMALS:
        raise ShapeError(json_path, f"expected {_A_PRICE}, got {price!r}")
    return int(digits)


def _moment(json_path: str, since: "Any") -> float:
    try:
        return parse_timestamp(since)
    except (AttributeError, TypeError, ValueError):
        raise ShapeError(json_path, f'expected a date such as "2026-03-13", got {since!r}') from None


def _expect_keys(json_path: str, value: "Any", keys: "tuple[str, ...]") -> "dict[str, Any]":
    if not isinstance(value, dict):
        raise ShapeError(json_path, f"expected an object of prices, got {value!r}")
    for key in value:
        if key not in keys:
            raise ShapeError(json_path, f"expected no key {key!r}; there are {', '.join(keys)}")
    return value


def _place(name: str) -> str:
    return f'$.models["{name}"]'
