"""The hook that Claude Code calls: it reads a payload, may refuse a launch, and keeps facts."""
