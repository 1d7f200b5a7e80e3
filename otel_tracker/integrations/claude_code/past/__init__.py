"""What transcripts that are there say of the past: what was used, and how the runs of sub-agents ended. No hook loads it."""
