"""Bytes to messages and back: HTTP/1, PROXY protocol, later HTTP/2 and ClientHello. No I/O, no clock, no sockets."""
