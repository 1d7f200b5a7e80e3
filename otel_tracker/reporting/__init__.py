"""What a document says to people: totals, rankings, text. Pure."""
