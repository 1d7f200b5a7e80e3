"""The names that type hints give to the JSON objects passed between the packages; docs/document.md lists their keys."""

from typing import Any

Event = dict[str, Any]  # one event, as a line of the journal holds it
Head = dict[str, Any]  # a document without its history
Agent = dict[str, Any]  # the entry of one agent in a document
Row = dict[str, Any]  # what reporting/summary.py answers about one agent
Tokens = dict[str, int]  # numbers of tokens by type
Shares = dict[str, Tokens | None]  # a run's tokens by model; None where they are not measured
