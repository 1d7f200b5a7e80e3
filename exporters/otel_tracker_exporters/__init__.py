"""Owns the ways out: finished spans to the document, and the document to Prometheus; one file for each."""
