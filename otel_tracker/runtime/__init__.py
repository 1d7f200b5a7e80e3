"""This process: its environment and identity, the texts of its clock, its locks between threads, its line of log."""
