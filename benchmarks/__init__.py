"""Benchmarks: one file per question, one table each. Run with ``make bench`` or ``python benchmarks/NAME.py``."""
