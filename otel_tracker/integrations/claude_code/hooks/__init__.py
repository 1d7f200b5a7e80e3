"""What Claude Code calls: a payload in, a refusal out, facts kept."""
