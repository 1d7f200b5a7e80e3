"""What Claude Code's transcripts, results and notifications say of a run; nothing is written."""
