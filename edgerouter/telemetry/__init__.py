"""What happened: counters in shared memory, access log, metrics; a microsecond or two of a request, never more."""
