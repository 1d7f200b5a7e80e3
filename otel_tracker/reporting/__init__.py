"""Owns the answers that a document gives to people, as data and in words: totals, rankings, states, text. Pure."""
