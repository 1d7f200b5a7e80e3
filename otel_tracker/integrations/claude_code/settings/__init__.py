"""Our hooks in Claude Code's settings files, and the plugin."""
