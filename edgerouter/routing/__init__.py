"""From routes to a table that finds the one for a request; indexes, priorities, sleeping routes. Pure."""
