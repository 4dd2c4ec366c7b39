"""Dropping root once the sockets are open. Keeps the group of files that must stay readable (the Docker socket)."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterable

from edgerouter.errors import ConfigurationError


def resolve_user(user: str) -> tuple[int, int]:
    """(uid, gid) of a name or a number. Raises ConfigurationError."""
    try:
        entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
        return entry.pw_uid, entry.pw_gid
    except KeyError:
        if user.isdigit():
            return int(user), int(user)
        raise ConfigurationError(f"user: there is no user {user!r} on this machine; write its name or number") from None


def resolve_group(group: str) -> int:
    """The gid of a name or a number. Raises ConfigurationError."""
    if group.isdigit():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigurationError(
            f"group: there is no group {group!r} on this machine; write its name or number"
        ) from None


def drop(uid: int, gid: int, keep_groups_of: Iterable[str] = ()) -> None:
    """Become ``uid``:``gid`` for good, with the groups of those paths that exist as supplementary ones."""
    if (os.geteuid(), os.getegid()) == (uid, gid):
        return
    groups = {gid}
    for path in keep_groups_of:
        try:
            groups.add(os.stat(path).st_gid)
        except OSError:
            continue
    groups.discard(0)
    os.setgroups(sorted(groups))
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
