"""Where the prices are: a table that the package brings, and a user's own beside the document, which goes before it."""

import json
import os

from otel_tracker.errors import PriceFileError, StorageError
from otel_tracker.runtime.log import warn
from otel_tracker.state.checks import ShapeError
from otel_tracker.state.prices import PriceTable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from otel_tracker.storage.files import Files
    from otel_tracker.storage.home import Home

PACKAGED = os.path.join(os.path.dirname(os.path.dirname(__file__)), "prices.json")


def price_table(home: "Home", files: "Files") -> PriceTable:
    """Return the prices that hold in a home.

    A fault in the user's file is logged, and the package's prices hold. Raises StorageError or PriceFileError where the
    package's own file is missing or damaged.
    """
    packaged = _models(PACKAGED, files)
    try:
        return PriceTable(packaged, _models(home.prices, files) if files.signature(home.prices) else None)
    except ShapeError as error:
        warn("%s", PriceFileError(home.prices, error.place, error.reason))
    except (PriceFileError, StorageError) as error:
        warn("%s", error)
    return PriceTable(packaged)


def _models(path: str, files: "Files") -> "dict[str, Any]":
    """Return the models of a file of prices, their prices as yet unchecked."""
    read = files.read(path)
    if read is None:
        raise StorageError("read", path, "there is no such file")
    try:
        content = json.loads(read[1], parse_float=str)
    except (ValueError, RecursionError) as error:
        raise PriceFileError(path, "", f"not JSON ({error})") from error
    models = content.get("models") if isinstance(content, dict) else None
    if not isinstance(models, dict):
        raise PriceFileError(path, "$.models", "expected an object with the prices of each model")
    return models
