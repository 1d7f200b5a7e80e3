"""What a command shows."""

from collections.abc import Callable

Run = Callable[..., "tuple[int, str, str]"]
"""Runs a command with these arguments, and returns its status and what it printed on standard output and standard error."""
