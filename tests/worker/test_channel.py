"""The worker's end of the channel before there is a loop: one message is read, and not a byte more."""

from __future__ import annotations

import socket
import struct

import pytest

from edgerouter.contracts import messages
from edgerouter.worker.channel import read_first


def test_what_follows_the_first_message_is_left_for_the_loop() -> None:
    # A router that is ended while its workers start sends the start and the end in one go.
    ours, theirs = socket.socketpair()
    with ours, theirs:
        second = messages.frame(messages.Terminating(status=500))
        theirs.sendall(messages.frame(messages.Terminating(status=503)) + second)
        assert read_first(ours, messages.Terminating).status == 503
        assert ours.recv(1000) == second


def test_a_first_message_that_never_ends_is_refused() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(struct.pack("!I", messages.MAX_MESSAGE + 1))
        with pytest.raises(messages.ChannelError):
            read_first(ours, messages.Terminating)


def test_a_channel_that_ends_in_mid_message_is_told() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(messages.frame(messages.Terminating())[:-1])
        theirs.close()
        with pytest.raises(EOFError):
            read_first(ours, messages.Terminating)
