"""Owns the files of a home: the document, its journal, backups and locks, and the transaction over them."""
