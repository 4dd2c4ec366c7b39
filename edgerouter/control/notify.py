"""What systemd wants to hear from a service of type notify: READY, STOPPING, RELOADING, WATCHDOG (sd_notify(3))."""

from __future__ import annotations

import contextlib
import os
import socket
import time


def notify(text: str) -> None:
    """Send a state such as ``READY=1``; does nothing when nobody asked (NOTIFY_SOCKET)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.sendto(text.encode(), address)


def notify_reloading() -> None:
    """RELOADING=1 with the time that systemd wants beside it; READY=1 ends it."""
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def watchdog_interval() -> float:
    """Seconds between two pings, half of what WATCHDOG_USEC allows; 0.0 when there is no watchdog for this process."""
    wanted = os.environ.get("WATCHDOG_PID", "")
    if wanted and wanted != str(os.getpid()):
        return 0.0
    usec = os.environ.get("WATCHDOG_USEC", "")
    return int(usec) / 2e6 if usec.isdigit() else 0.0
