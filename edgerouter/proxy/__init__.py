"""One exchange from match to end: phases, forwarding, resending, tunnels; errors become responses in one place."""
