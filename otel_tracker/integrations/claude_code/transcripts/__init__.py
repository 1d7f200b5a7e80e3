"""Reads facts about runs in Claude Code's transcripts, results and notifications; writes nothing."""
