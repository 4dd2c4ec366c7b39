"""Metrics backends, one a file."""
