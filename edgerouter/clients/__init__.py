"""Clients of outside systems, one file each, for whichever room needs them."""
