"""Where the prices are: a table that the package brings, and a user's own beside the document, which goes before it."""

import json
import os

from otel_tracker.errors import PackagedPricesError, PriceFileError, StorageError
from otel_tracker.runtime.log import warn
from otel_tracker.state import prices
from otel_tracker.state.checks import ShapeError
from otel_tracker.state.prices import PriceTable
from otel_tracker.storage.files import Files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from otel_tracker.state.prices import Cost
    from otel_tracker.storage.home import Home

PACKAGED = os.path.join(os.path.dirname(prices.__file__), "prices.json")

_tables: "dict[str, PriceTable]" = {}  # by the path of a user's own prices


def cost_in(home: "Home") -> "Cost":
    """Return the function that tells what a request costs in a home; this process reads the prices of a home once."""
    table = _tables.get(home.prices)
    if table is None:
        table = _tables[home.prices] = price_table(home, Files())
    return table.cost


def price_table(home: "Home", files: "Files") -> PriceTable:
    """Return the prices that hold in a home; a fault in a file is logged."""
    table, faults = read_prices(home, files)
    for fault in faults:
        warn("%s", fault)
    return table


def read_prices(home: "Home", files: "Files") -> "tuple[PriceTable, list[PriceFileError]]":
    """Return the prices that hold in a home, and the faults in their files: where one has a fault, the other one holds."""
    packaged: dict[str, Any] = {}
    faults: list[PriceFileError] = []
    try:
        packaged = _models(PACKAGED, files)
    except ShapeError as error:
        faults.append(PackagedPricesError(PACKAGED, error.json_path, error.reason))
    try:
        return PriceTable(packaged, _models(home.prices, files, without_file={})), faults
    except ShapeError as error:
        faults.append(PriceFileError(home.prices, error.json_path, error.reason))
    return PriceTable(packaged), faults


def _models(path: str, files: "Files", without_file: "dict[str, Any] | None" = None) -> "dict[str, Any]":
    """Return the models of a file of prices, their prices as yet unchecked; raise ShapeError where there are none."""
    try:
        read = files.read(path)
    except StorageError as error:
        raise ShapeError("", error.reason) from error
    if read is not None:
        return _decoded(read[1])
    if without_file is None:
        raise ShapeError("", "there is no such file")
    return without_file


def _decoded(text: bytes) -> "dict[str, Any]":
    try:
        content = json.loads(text, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise ShapeError("", f"not JSON ({error})") from error
    models = content.get("models") if isinstance(content, dict) else None
    if not isinstance(models, dict):
        raise ShapeError("$.models", "expected an object with the prices of each model")
    return models
