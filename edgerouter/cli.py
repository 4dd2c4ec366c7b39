"""The command ``edgerouter``: arguments -> static configuration -> run, version, check, healthcheck, schema, help.

Everything is checked before anything is started; problems are printed all at once, and the exit code is then 2.
What a command does beyond that lives in the rooms below; nothing else may import this file.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import platform
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import msgspec

from edgerouter import __version__, causes, is_compiled, registry
from edgerouter.config.describe import dynamic_schema, help_text, static_schema
from edgerouter.config.pages import module_docstring, page, pages, service_page, service_pages
from edgerouter.config.sources import Loaded, load_static, tables_of
from edgerouter.config.static import StaticConfiguration, effective_entry_points, parse_address
from edgerouter.config.types import Problem
from edgerouter.contracts.snapshot import ProviderContext, Snapshot
from edgerouter.control.handover import VARIABLE
from edgerouter.control.runtime_dir import control_sockets

_USAGE: Final = """\
Usage: edgerouter [command] [flags]

Commands:
    (none)       run the router
    check        check the static configuration and the file provider's files, and start nothing
    explain      say which router takes a request, and why: explain URL
    ledger       list every workload that was seen, what became of it, and what to write
    certificates list every certificate: state, source, expiry, next attempt, last error; retry NAME tries again now
    trust        have this system trust the built-in authority of a resolver (certificatesResolvers.NAME.local):
                 trust [--print|--remove] [the router's flags]
    convert      print files and labels of Traefik 1.x and 2.x in today's form
    healthcheck  ask the router on this machine whether it is well
    causes       print what a cause in the access log means and what to do: causes CONNECT_REFUSED; all without a name
    upgrade      let the running router become the version that is installed now, without losing a connection:
                 upgrade [--program=/path/to/another/edgerouter] [--pid=123]; SIGUSR2 does the same
    schema       print the JSON Schema of the configuration: schema [static|dynamic]
    docs         print the manual page of a middleware or service: docs [NAME]
    version      print the version

Options come from a file, the environment and flags, the later over the earlier:
    --configFile=edgerouter.yml            YAML or TOML; looked for in /etc/edgerouter, $XDG_CONFIG_HOME,
                                           $HOME/.config and here when it is not named (also as traefik.*)
    EDGEROUTER_ENTRYPOINTS_WEB_ADDRESS=:80 the same as
    --entryPoints.web.address=:80          a flag, in any case, with one dash or two
"""
_CHECK_SECONDS: Final = 10.0  # for the file provider's first snapshot
_HEALTH_SECONDS: Final = 5.0
_UPGRADE_SECONDS: Final = 120.0  # more than the check, the start and a way back take
_PROGRAMS: Final = ("edgerouter", "__main__.py")  # how the program is named in a command line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code: 0 well, 1 failed, 2 wrong configuration or arguments."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    flags = words[: words.index("--")] if "--" in words else words
    if any(word in ("-h", "--help", "-help") for word in flags) or words[:1] == ["help"]:
        print(f"{_USAGE}\nOptions:\n{help_text(_tables())}")
        return 0
    if words and words[0] in ("--version", "-version", "-v"):
        return _version([])
    if not words or words[0].startswith("-"):
        return _run(words)
    command = _COMMANDS.get(words[0])
    if command is None:
        print(f"edgerouter: there is no command {words[0]!r}; there is: {', '.join(_COMMANDS)}", file=sys.stderr)
        return 2
    return command(words[1:])


def _options_of(room: str) -> dict[str, Any]:
    return {name: plugin.options for name, plugin in registry.load(room).items()}


def _tables() -> Any:
    return tables_of(_options_of("providers"), _options_of("metrics"))


def _kinds() -> dict[str, dict[str, Any]]:
    return {room: _options_of(room) for room in ("middlewares", "services")}


def _load(arguments: Sequence[str]) -> Loaded:
    return load_static(arguments, os.environ, _options_of("providers"), _options_of("metrics"))


def _line(problem: Problem) -> str:
    parts = (problem.source, problem.path, problem.message)
    return ": ".join(part for part in parts if part) + (f"; {problem.hint}" if problem.hint else "")


def _print(problems: Iterable[Problem]) -> None:
    """One line each, errors last so that they are what is seen."""
    for problem in sorted(problems, key=lambda problem: problem.severity == "error"):
        print(f"edgerouter: {problem.severity}: {_line(problem)}", file=sys.stderr)


def _run(arguments: Sequence[str]) -> int:
    if VARIABLE in os.environ:
        from edgerouter.control.takeover import taking_over

        return taking_over(lambda succession: _start(arguments, succession))
    return _start(arguments, None)


def _start(arguments: Sequence[str], succession: Any) -> int:
    loaded = _load(arguments)
    unusable = _unusable(loaded) if succession is None else []
    _print([*loaded.problems, *unusable])
    if loaded.static is None or unusable:
        return 2
    from edgerouter.app import run  # after all checks: it brings the whole control process in

    return run(loaded.static, succession)


def _version(arguments: Sequence[str]) -> int:
    if arguments:
        print("edgerouter: write version, with nothing behind it", file=sys.stderr)
        return 2
    system = platform.uname()
    print(f"Version:  {__version__}")
    print(f"Mode:     {'compiled' if is_compiled() else 'pure'}")
    print(f"Python:   {platform.python_version()} ({platform.python_implementation()})")
    print(f"OS/Arch:  {system.system.lower()}/{system.machine}")
    return 0


def _schema(arguments: Sequence[str]) -> int:
    makers: dict[str, Callable[[], Any]] = {
        "static": lambda: static_schema(_tables()),
        "dynamic": lambda: dynamic_schema(_kinds()),
    }
    if len(arguments) > 1 or any(word not in makers for word in arguments):
        print("edgerouter: write schema, schema static or schema dynamic", file=sys.stderr)
        return 2
    made = makers[arguments[0]]() if arguments else {name: make() for name, make in makers.items()}
    print(msgspec.json.format(msgspec.json.encode(made), indent=2).decode())
    return 0


def _docs(arguments: Sequence[str]) -> int:
    middlewares, services = registry.load("middlewares"), _configured_services()
    if len(arguments) == 2 and arguments[0] == "--write":
        folder = Path(arguments[1])
        folder.mkdir(parents=True, exist_ok=True)
        rooms = {"services": lambda: service_pages(services), "kubernetes": _ingress_pages}
        made = rooms.get(folder.name, lambda: pages(middlewares))()
        for file, text in made.items():
            (folder / file).write_text(text)
        return 0
    names = {name.lower(): name for name in (*middlewares, *services)}
    if len(arguments) != 1 or arguments[0].lower() not in names:
        print("edgerouter: write docs NAME; there is:", ", ".join(sorted(names.values())), file=sys.stderr)
        return 2
    name = names[arguments[0].lower()]
    plugin, make = (services[name], service_page) if name in services else (middlewares[name], page)
    print(make(module_docstring(plugin.cls), plugin.options), end="")
    return 0


def _ingress_pages() -> dict[str, str]:
    from edgerouter.providers._ingress_reference import options_page, reference_page

    balancer = registry.load("services")["loadBalancer"].options
    provider = registry.load("providers")["kubernetesIngress"].options
    assert balancer is not None and provider is not None
    return {"annotations.md": reference_page(balancer), "provider.md": options_page(provider)}


def _configured_services() -> dict[str, registry.Plugin]:
    """Kinds of services that people write; ping and noop are the router's own."""
    return {name: plugin for name, plugin in registry.load("services").items() if name not in ("noop", "ping")}


def _causes(arguments: Sequence[str]) -> int:
    for room in ("middlewares", "services"):
        registry.load(room)  # they declare causes of their own
    if not arguments:
        print(causes.page(), end="")
        return 0
    known = causes.declared()
    for word in arguments:
        cause = known.get(word.upper())
        if cause is None:
            near = get_close_matches(word.upper(), known, 1, 0.0)[0]
            print(f"edgerouter: there is no cause {word}; the nearest is {near}", file=sys.stderr)
            return 2
        answer = f"the client is told {cause.status}" if cause.status else "the client is told nothing"
        print(f"{cause.name}: {cause.meaning}\n  Fault: {cause.whose}; {answer}.\n  What to do: {cause.remedy}")
    return 0


def _check(arguments: Sequence[str]) -> int:
    loaded = _load(arguments)
    problems = list(loaded.problems)
    if loaded.static is not None and VARIABLE in os.environ:
        return _rehearse(loaded)
    if loaded.static is not None:
        problems += _unusable(loaded) or _file_problems(loaded.static)
    _print(problems)
    errors = sum(problem.severity == "error" for problem in problems)
    if errors:
        print(f"edgerouter: {errors} error{'s' if errors > 1 else ''}", file=sys.stderr)
        return 2
    print(f"OK: {loaded.file or 'flags and environment'}")
    return 0


def _rehearse(loaded: Loaded) -> int:
    """Asked by a running router that may become this program: would taking over work? What files hold is not looked at:
    it was as it is before."""
    import edgerouter.app  # noqa: F401  (everything that will be needed)
    from edgerouter.control.handover import HandoverError
    from edgerouter.control.prepare import prepare
    from edgerouter.control.takeover import rehearse
    from edgerouter.errors import ConfigurationError

    _print(loaded.problems)
    assert loaded.static is not None
    try:
        print(rehearse(prepare(loaded.static)))
    except (ConfigurationError, HandoverError, OSError) as error:
        print(f"edgerouter: {error}", file=sys.stderr)
        return 2
    return 0


def _unusable(loaded: Loaded) -> list[Problem]:
    """What only those can find wrong who use it: options of providers and metrics backends, the number of workers."""
    from edgerouter.control.prepare import usable
    from edgerouter.errors import ConfigurationError

    try:
        if loaded.static is not None:
            usable(loaded.static)
    except ConfigurationError as error:
        return [Problem("", error.message, source=loaded.place(error.message))]
    return []


def _file_problems(static: StaticConfiguration) -> list[Problem]:
    """What the file provider says of its files, and what ``build`` says of what stands in them."""
    from edgerouter.certs.store import Store
    from edgerouter.control.build import Inputs, build
    from edgerouter.control.build_keys import Keys
    from edgerouter.control.internal import internal_snapshot
    from edgerouter.net import openssl

    options = static.providers.sections.get("file")
    if options is None:
        return []
    try:
        snapshot = asyncio.run(_first_snapshot(options, static))
    except Exception as error:  # whatever a provider raises is the answer to the question asked here
        return [Problem("providers.file", str(error) or type(error).__name__)]
    snapshots = {"file": snapshot, "internal": internal_snapshot(static, "/")}
    keyring = Store(native=openssl.REASON, transport=static.servers_transport).load(snapshots)
    built = build(Inputs(static=static, snapshots=snapshots, keyring=keyring), Keys())
    others = [f"@{name.lower()}" for name in static.providers.sections if name != "file"]
    return [_unsure(problem, others) for problem in built.problems]


def _unsure(problem: Problem, others: Sequence[str]) -> Problem:
    """What another provider may bring is no error: it is not asked here."""
    if any(name in problem.message for name in others):
        return msgspec.structs.replace(problem, severity="warning", hint="only known once that provider answers")
    return problem


async def _first_snapshot(options: Any, static: StaticConfiguration) -> Snapshot:
    plugin = registry.load("providers")["file"]
    context = ProviderContext(name="file", kinds=_kinds(), prefixes=static.providers.label_prefixes)
    watching = plugin.cls(options, context).watch()
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            snapshot: Snapshot = await anext(watching)
        return snapshot
    finally:
        await watching.aclose()


def _healthcheck(arguments: Sequence[str]) -> int:
    """Ask for ``/ping`` as a client would. Without flags of its own it takes those of the router that runs here: so a
    container can ask itself."""
    try:
        url = "" if arguments else _running()
        url = url or _ping_url(_load(arguments))
        if url.startswith("http://"):
            _ask(http.client.HTTPConnection(url[7:].partition("/")[0], timeout=_HEALTH_SECONDS), url)
    except (_Unwell, OSError, http.client.HTTPException) as error:
        print(f"edgerouter: not well: {error or type(error).__name__}", file=sys.stderr)
        return 1
    print(f"OK: {url}")
    return 0


class _Unwell(Exception):
    """The router does not answer as it should; says why."""


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket; ``peer`` is the process that listens, once connected."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_HEALTH_SECONDS)
        self._path = path
        self.peer = 0

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_HEALTH_SECONDS)
        self.sock.connect(self._path)
        self.peer = struct.unpack("3i", self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]


def _ask(connection: http.client.HTTPConnection, url: str = "") -> None:
    """Ask for /ping; with ``url`` the answer must be 200, without any answer shows that somebody is there."""
    try:
        connection.request("GET", "/ping")
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException) as error:
        raise _Unwell(f"{url or 'the control process'}: {error or type(error).__name__}") from error
    finally:
        connection.close()
    if url and response.status != 200:
        raise _Unwell(f"{url} answers {response.status}")


def _ping_url(loaded: Loaded) -> str:
    """Where ping is by a configuration; "" when it is on no port that is known beforehand."""
    if loaded.static is None:
        _print(loaded.errors)
        raise _Unwell("the configuration is wrong")
    ping = loaded.static.ping
    if ping is None or ping.manual_routing:
        raise _Unwell("ping is turned off, and no running router was found")
    place = parse_address(effective_entry_points(loaded.static)[ping.entry_point].address)
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(place.host, place.host)
    return f"http://[{host}]:{place.port}/ping" if ":" in host else f"http://{host}:{place.port}/ping"


def _running() -> str:
    """The ping of the newest router that runs here, by its own arguments and environment; "" when none runs."""
    for path in control_sockets():
        connection = _UnixConnection(path)
        try:
            connection.connect()
        except OSError:
            continue  # left behind by a router that was killed
        process = connection.peer
        with suppress(OSError, _Unwell):
            url = _ping_url(_load_as(process))
            if not url.endswith(":0/ping"):
                connection.close()
                return url
        _ask(connection)
        return f"unix:{path}"
    return ""


def _load_as(process: int) -> Loaded:
    """The static configuration of a running router; relative files are taken from where it runs."""
    words = _proc(process, "cmdline")
    start = next((at for at, word in enumerate(words) if os.path.basename(word) in _PROGRAMS), len(words) - 1)
    arguments = [word for at, word in enumerate(words[start + 1 :]) if at or word != "run"]
    try:
        variables = dict(word.split("=", 1) for word in _proc(process, "environ") if "=" in word)
    except PermissionError:  # another user's: this one's environment is the best guess
        variables = dict(os.environ)
    with suppress(OSError):
        os.chdir(f"/proc/{process}/cwd")
    return load_static(arguments, variables, _options_of("providers"), _options_of("metrics"))


def _upgrade(arguments: Sequence[str]) -> int:
    """Ask the router that runs here to become the program that is installed now; wait until it has, or goes on."""
    options = dict(word.lstrip("-").partition("=")[::2] for word in arguments)
    if not options.keys() <= {"program", "pid"} or not all(options.values()):
        print("edgerouter: write upgrade [--program=/path/to/another/edgerouter] [--pid=123]", file=sys.stderr)
        return 2
    program = os.path.abspath(options["program"]) if "program" in options else ""
    try:
        path = _control_socket(options.get("pid", ""))
        outcome = _call(path, "POST", {"program": program})
        end = time.monotonic() + _UPGRADE_SECONDS
        while outcome["state"] == "checking" and time.monotonic() < end:
            time.sleep(0.1)
            outcome = _progress(path) or outcome
    except (_Unwell, OSError, http.client.HTTPException, ValueError) as error:
        print(f"edgerouter: no upgrade: {error or type(error).__name__}", file=sys.stderr)
        return 1
    if outcome["state"] != "done":
        print(f"edgerouter: no upgrade: {outcome['reason'] or 'it is not over yet; see the log'}", file=sys.stderr)
        return 1
    print(f"OK: version {outcome['version']} has taken over")
    return 0


def _progress(path: str) -> Any:
    """How the upgrade goes; None while one program becomes the other. Raises _Unwell when both are gone."""
    try:
        return _call(path, "GET")
    except (TimeoutError, ConnectionResetError, BrokenPipeError):
        return None
    except (ConnectionRefusedError, FileNotFoundError):
        raise _Unwell("the router ended meanwhile; its log says why") from None


def _control_socket(pid: str) -> str:
    """The socket of the router that runs here, or of the one with that process id."""
    found: dict[str, str] = {}
    for path in control_sockets():
        connection = _UnixConnection(path)
        try:
            connection.connect()
        except OSError:
            continue  # left behind by a router that was killed
        connection.close()
        found[str(connection.peer)] = path
    if pid in found or (not pid and len(found) == 1):
        return found[pid or next(iter(found))]
    if found and not pid:
        raise _Unwell(f"several routers run here; write --pid= with one of {', '.join(found)}")
    raise _Unwell("no running router was found, or it is another user's")


def _call(path: str, method: str, body: Any = None) -> Any:
    connection = _UnixConnection(path)
    try:
        headers = {} if body is None else {"Content-Type": "application/json"}
        connection.request(method, "/upgrade", None if body is None else msgspec.json.encode(body), headers)
        return msgspec.json.decode(connection.getresponse().read())
    finally:
        connection.close()


def _proc(process: int, name: str) -> list[str]:
    with open(f"/proc/{process}/{name}", "rb") as file:
        return [word.decode(errors="replace") for word in file.read().split(b"\0")][:-1]


def _convert(arguments: Sequence[str]) -> int:
    from edgerouter import cli_convert  # brings YAML in

    return cli_convert.run(arguments)


def _trust(arguments: Sequence[str]) -> int:
    from edgerouter import cli_trust  # brings cryptography in

    loaded = _load([word for word in arguments if word not in cli_trust.MODES])
    _print(loaded.errors)
    if loaded.static is None:
        print(cli_trust.USAGE, file=sys.stderr, end="")
        return 2
    return cli_trust.run([word for word in arguments if word in cli_trust.MODES], loaded.static)


def _asking(command: str, arguments: Sequence[str]) -> int:
    from edgerouter import cli_ask  # brings routing in

    done: int = getattr(cli_ask, command)(arguments)
    return done


_COMMANDS: Final[dict[str, Callable[[Sequence[str]], int]]] = {
    "run": _run,
    "check": _check,
    "explain": lambda arguments: _asking("explain", arguments),
    "ledger": lambda arguments: _asking("show_ledger", arguments),
    "certificates": lambda arguments: _asking("certificates", arguments),
    "trust": _trust,
    "convert": _convert,
    "healthcheck": _healthcheck,
    "causes": _causes,
    "schema": _schema,
    "upgrade": _upgrade,
    "docs": _docs,
    "version": _version,
}
