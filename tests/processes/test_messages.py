"""The language of control process and workers: what is sent arrives alike, in whatever pieces; the rest is refused."""

from __future__ import annotations

import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerouter.config.static import EntryPoint, StaticConfiguration
from edgerouter.config.types import Duration, Secret
from edgerouter.contracts import messages
from edgerouter.contracts.messages import MAX_MESSAGE, ChannelError, Frames, ToControl, ToWorker, frame
from edgerouter.contracts.plan import MiddlewareEntry, RouterEntry, ServerEntry, ServiceEntry, TransportEntry

ENTRIES = (
    RouterEntry("r@file", ("web",), "Path(`/`)", 9, ("m@file",), "s@file", 1),
    MiddlewareEntry("m@file", "basicAuth", {"users": [Secret("a:b")], "wait": Duration(1.5)}),
    ServiceEntry("s@file", "loadBalancer", {}, 2, (ServerEntry("http://127.0.0.1:1"),)),
    TransportEntry("t@file", {}),
)
START = messages.Start(
    slot=1,
    slots=2,
    entry_points=(messages.ListenOn(name="web", key=1, settings=EntryPoint(address=":80"), fds=(5, 6)),),
    static=StaticConfiguration(workers=2),
)


@pytest.mark.parametrize(
    "message",
    [
        START,
        messages.Delta(generation=3, removed=("router:x@file",), last=False),
        messages.TakeSockets(slot=1),
        messages.ReturnSockets(slot=1),
        messages.Terminating(status=503),
        messages.StopAccepting(),
        messages.Drain(timeout=1.5),
        messages.ReopenLogs(),
        messages.Retire(places=(3, 70)),
    ],
)
def test_what_is_sent_to_a_worker_arrives(message: messages.Message) -> None:
    assert Frames(ToWorker).feed(frame(message)) == [message]


@pytest.mark.parametrize(
    "message",
    [
        messages.Hello(pid=4),
        messages.Applied(generation=1, seconds=0.5, error="no"),
        messages.Heartbeat(stall=0.5, in_flight=2, connections=3),
        messages.Stopped(),
        messages.Drained(cut=1),
    ],
)
def test_what_a_worker_sends_arrives(message: messages.Message) -> None:
    assert Frames(ToControl).feed(frame(message)) == [message]


def test_entries_travel_with_their_secrets_in_clear() -> None:
    (delta,) = Frames(ToWorker).feed(frame(messages.Delta(generation=1, entries=ENTRIES)))
    assert [type(entry) for entry in delta.entries] == [type(entry) for entry in ENTRIES]
    assert delta.entries[0] == ENTRIES[0]
    assert delta.entries[1].options == {"users": ["a:b"], "wait": 1.5}


@given(st.lists(st.integers(0, 2**31), min_size=1, max_size=5), st.data())
def test_the_pieces_do_not_matter(slots: list[int], data: st.DataObject) -> None:
    sent = [messages.TakeSockets(slot=slot) for slot in slots]
    stream = b"".join(frame(message) for message in sent)
    frames, received, at = Frames(ToWorker), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, 40))
        received += frames.feed(stream[at : at + size])
        at += size
    assert received == sent


@pytest.mark.parametrize(
    ("stream", "complaint"),
    [
        (struct.pack("!I", MAX_MESSAGE + 1), "longer than"),
        (struct.pack("!I", 1) + b"\xc1", "not a message"),
        (frame(messages.Hello(pid=1)), "not a message"),  # a worker's word, sent to a worker
        (struct.pack("!I", 0), "not a message"),
    ],
)
def test_what_is_no_message_is_refused(stream: bytes, complaint: str) -> None:
    with pytest.raises(ChannelError, match=complaint):
        Frames(ToWorker).feed(stream)


def test_a_field_of_the_wrong_type_is_refused() -> None:
    body = msgspec.msgpack.encode({"type": "drain", "timeout": "soon"})
    with pytest.raises(ChannelError, match="timeout"):
        Frames(ToWorker).feed(struct.pack("!I", len(body)) + body)


def test_a_message_beyond_the_bound_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_MESSAGE", 1000)
    with pytest.raises(ChannelError, match="longer than 1000"):
        frame(messages.Delta(generation=1, removed=("x" * 2000,)))
