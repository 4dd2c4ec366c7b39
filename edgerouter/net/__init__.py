"""All sockets of the data plane: listeners, client connections, upstream pools, timeouts. No others elsewhere."""
