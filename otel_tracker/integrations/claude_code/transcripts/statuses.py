"""The statuses of a run, in Claude Code's words. Pure."""

COMPLETED, FAILED, KILLED, LAUNCHED = "completed", "failed", "killed", "launched"
STATUSES = (LAUNCHED, COMPLETED, KILLED, FAILED)  # the later, the stronger
