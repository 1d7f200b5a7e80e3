"""Random ids of runs and events."""

import os


def new_id() -> str:
    """Return a random id of 128 bits, in hexadecimal: 32 characters."""
    return os.urandom(16).hex()
