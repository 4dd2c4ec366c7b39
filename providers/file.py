"""The provider ``file``: dynamic configuration from a file, or from all files of a directory.

Name: ``file``. YAML (``.yaml``, ``.yml``) and TOML (``.toml``). A directory is read with all directories below it, and
all of it is watched; hidden names (``.x``) are left out. A name that two files define belongs to the first one in
alphabetical order. A file that cannot be read keeps serving its last good copy; a bad object in it spoils no other.

    providers:
      file:
        directory: /etc/edgerouter/dynamic

    flags:  --providers.file.filename=/etc/edgerouter/dynamic.yml
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Final, TypeVar

from edgerouter.config.dynamic import Certificate, DynamicConfiguration, HttpConfiguration, Model, TlsConfiguration
from edgerouter.config.late import Late
from edgerouter.config.types import Problem
from edgerouter.contracts.snapshot import Provider, ProviderContext, Snapshot
from edgerouter.errors import ConfigurationError
from edgerouter.providers._file_shelf import Page, Shelf
from edgerouter.registry import provider

T = TypeVar("T")

LOOK_EVERY: Final = 0.5  # seconds
SETTLE: Final = 0.05  # seconds: a file that is just being written is read when it is complete
_SETTLE_LOOKS: Final = 20
_LATE: Final = {"late_transports": "http.serversTransports", "late": "tls.options"}  # whose references they are
_SHARE: Final = 0.05  # of one CPU at most goes into looking


class Options(Model, frozen=True):
    """Options of ``file``."""

    # the file to read; either this or directory
    filename: str = ""
    # the directory to read
    directory: str = ""
    # look for changes
    watch: bool = True
    # accepted; files are no templates
    debug_log_generated_template: bool = False

    def not_there_yet(self) -> tuple[str, ...]:
        """Return the options that are set and have no effect; people are warned of each."""
        return ("debugLogGeneratedTemplate",) if self.debug_log_generated_template else ()


@provider("file", Options)
class FileProvider(Provider):
    """Looks at times and sizes twice a second; ``reload`` makes it read everything again. Looking, reading and decoding
    happen in a thread: 10,000 routers take seconds."""

    def __init__(self, options: Options, context: ProviderContext) -> None:
        """Raises ConfigurationError unless exactly one of filename and directory is given."""
        super().__init__(options, context)
        if bool(options.filename) == bool(options.directory):
            wrong = "filename and directory exclude each other" if options.filename else "it names nothing to read"
            raise ConfigurationError(f"providers.{context.name}: {wrong}; write either filename or directory")
        self._again = asyncio.Event()

    def reload(self) -> None:
        """Read again now, changed or not (SIGHUP)."""
        self._again.set()

    async def watch(self) -> AsyncIterator[Snapshot]:
        """See ``Provider.watch``."""
        options: Options = self.options
        shelf = Shelf(options.directory or options.filename, bool(options.directory), self.context.kinds)
        while True:
            yield await asyncio.to_thread(lambda: merge(shelf.read()))
            await self._wait(shelf)

    async def _wait(self, shelf: Shelf) -> None:
        """Return when there is something to read."""
        pause = LOOK_EVERY
        while True:
            if await self._asked(pause):
                shelf.forget()
                return
            if not self.options.watch:
                continue
            began = time.monotonic()
            if await asyncio.to_thread(shelf.changed):
                await _settled(shelf)
                return
            pause = max(LOOK_EVERY, (time.monotonic() - began) / _SHARE)

    async def _asked(self, seconds: float) -> bool:
        """True when a reload is asked for within this time; without watching nothing else can happen."""
        try:
            async with asyncio.timeout(seconds if self.options.watch else None):
                await self._again.wait()
        except TimeoutError:
            return False
        self._again.clear()
        return True


async def _settled(shelf: Shelf) -> None:
    """Wait until the files look the same twice, a second at most."""
    before = await asyncio.to_thread(shelf.marks)
    for _ in range(_SETTLE_LOOKS):
        await asyncio.sleep(SETTLE)
        now = await asyncio.to_thread(shelf.marks)
        if now == before and None not in now[1].values():
            return
        before = now


def merge(pages: dict[str, Page]) -> Snapshot:
    """All files as one answer; the first file in alphabetical order wins a name."""
    problems: list[Problem] = []
    sections: dict[str, dict[str, Any]] = {
        name: {} for name in HttpConfiguration.__struct_fields__ if name not in _LATE
    }
    others: dict[str, dict[str, Any]] = {"tcp": {}, "udp": {}}
    certificates: list[Certificate] = []
    tls: dict[str, dict[str, Any]] = {"stores": {}, "options": {}, "refused": {}}
    late: dict[str, dict[str, Late]] = {"late_transports": {}, "late": {}}
    owners: dict[tuple[str, str], str] = {}
    for path, page in pages.items():
        problems.extend(page.problems)
        for section, whole in sections.items():
            given = getattr(page.configuration.http, section)
            _add(whole, given, f"http.{_camel(section)}", path, owners, problems)
        certificates.extend(page.configuration.tls.certificates)
        for section, whole in tls.items():
            _add(whole, getattr(page.configuration.tls, section), f"tls.{section}", path, owners, problems)
        for field, section in _LATE.items():
            part = page.configuration.tls if section == "tls.options" else page.configuration.http
            given = getattr(part, field)
            late[field].update({name: its for name, its in given.items() if owners[section, name] == path})
        for room, parts in others.items():
            for section, given in getattr(page.configuration, room).items():
                if isinstance(given, dict):
                    _add(parts.setdefault(section, {}), given, f"{room}.{section}", path, owners, problems)
                else:
                    parts.setdefault(section, given)
    configuration = DynamicConfiguration(
        http=HttpConfiguration(**sections, late_transports=late["late_transports"]),
        tls=TlsConfiguration(certificates=tuple(certificates), late=late["late"], **tls),
        **others,
    )
    return Snapshot(configuration=configuration, problems=tuple(problems))


def _camel(section: str) -> str:
    return "serversTransports" if section == "servers_transports" else section


def _add(
    whole: dict[str, T],
    given: dict[str, T],
    section: str,
    path: str,
    owners: dict[tuple[str, str], str],
    problems: list[Problem],
) -> None:
    for name, item in given.items():
        owner = owners.setdefault((section, name), path)
        if owner == path:
            whole[name] = item
        else:
            message = f"it is defined in {owner} too, and that one counts"
            problems.append(Problem(f"{section}.{name}", message, "give one of them another name", path, "warning"))
