"""What people may choose for sums of runs: by what, from when, in which format. The command line names it in its help."""

PERIODS = ("hour", "day", "week", "month")
KEYS = ("agent", "model", "project", "session", *PERIODS, "outcome")
"""What rows of sums may be by."""
FORMATS = ("table", "json", "csv", "markdown")
WHEN = "7d, 12h, 30m, 90s, 1w, today, yesterday, month, a day such as 2026-11-01, or a timestamp"
