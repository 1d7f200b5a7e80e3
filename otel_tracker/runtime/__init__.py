"""Owns what concerns this process: environment, identity, the texts of moments, locks between threads, the log line."""
