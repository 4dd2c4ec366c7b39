"""The options of ``buffering``: shapes only. Apart from what is compiled."""

from __future__ import annotations

from edgerouter.config.dynamic import Model


class Options(Model, frozen=True):
    """Options of ``buffering``."""

    # larger request bodies are answered 413; 0: no bound
    max_request_body_bytes: int = 0
    # what is held of a request's body in memory; the rest waits on disk
    mem_request_body_bytes: int = 1048576
    # larger response bodies are answered 500; 0: no bound
    max_response_body_bytes: int = 0
    # what is held of a response's body in memory; the rest waits on disk
    mem_response_body_bytes: int = 1048576
    # send again while this is true
    retry_expression: str = ""
    # let requests pass as they come; the bound holds all the same
    disable_request_buffer: bool = False
    # let responses pass as they come; the bound holds all the same
    disable_response_buffer: bool = False
