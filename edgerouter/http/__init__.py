"""The message as plain data: headers, request, response, body, exchange. No protocol version, no I/O, no clock."""
