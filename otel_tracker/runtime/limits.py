"""The limits of recorded values, and of input from programs that this package doesn't control."""

MOST_TOKENS = 2**53
"""Tokens of one task, and of each type. A larger number is no count; every reader of JSON takes this one for whole."""

NAME_CHARACTERS = 512
"""Characters of the name of an agent or a model, and of an id."""

ERROR_CHARACTERS = 500
"""Characters that are kept of an error or a reason."""

MASKED_CHARACTERS = 65_536
"""Characters of a text in which secrets are looked for; the rest is dropped. Traces of exceptions are the longest."""

FRONT_MATTER_CHARACTERS = 2**20
"""Characters of a Markdown file in which the end of its front matter is looked for."""

PATH_CHARACTERS = 4096
"""Characters of a path that a hook is given."""

LINE_BYTES = 64 * 2**20
"""Bytes of a line of a transcript, or of a command's output; a longer one is skipped."""

TAIL_BYTES = 8 * 2**20
"""Bytes at the end of a transcript that say how it ends, and how the runs that it has launched did."""

SIDECAR_BYTES = 2**20
"""Bytes of the file with facts of an agent that Claude Code writes beside its transcript; the rest isn't read."""

PAYLOAD_BYTES = 256 * 2**20
"""Bytes of the payload of a hook; the rest isn't read."""

LATEST_SECONDS = 221_845_392_000
"""Seconds from 1970 to the year 9000, the latest moment and the longest duration: a cooldown can still be added."""

LAST_EVENT = 10**18
"""The largest number of an event: it has fewer digits than a segment's name may have, and 63 bits."""

LARGEST_NUMBER = 10**300
"""The largest number of a document: a float holds it, and sums of it."""

DURATION_BOUNDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0)
"""Upper bounds of the buckets that durations are counted in, in seconds; one more bucket counts longer ones."""
