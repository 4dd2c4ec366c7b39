"""What happened: counters in shared memory, access log, metrics; never on the way of a request for more than a microsecond or two."""
