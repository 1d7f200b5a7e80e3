"""The page over a home: for each view its data, and templates that make HTML of them. Pure; server and report share it."""
