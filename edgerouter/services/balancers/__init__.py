"""Strategies that pick a server, one a file."""
