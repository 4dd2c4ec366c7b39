"""The compiler's modules and nothing else; everything that can be declared stands in pyproject.toml.

mypyc compiles the hot rooms. Without a C compiler, or with EDGEROUTER_PURE=1, the same files are installed and run
uncompiled: slower, with the same results on the same tests.
"""

import os
import shutil
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext

# A room is listed when a measurement paid for it (docs/decisions/0002-compiled-rooms.md).
# Not errors.py: mypyc gives subclasses of Exception no defaults of class attributes (``status`` would be missing).
COMPILED = [
    "edgerouter/config/decode.py",
    "edgerouter/config/fit.py",
    "edgerouter/config/labels.py",
    "edgerouter/config/nest.py",
    "edgerouter/config/places.py",
    "edgerouter/http/*.py",
    "edgerouter/contracts/plugins.py",
    "edgerouter/middlewares/_addresses.py",
    "edgerouter/middlewares/_breaker_expression.py",
    "edgerouter/middlewares/_breaker_window.py",
    "edgerouter/middlewares/_bucket.py",
    "edgerouter/middlewares/_cache_drops.py",
    "edgerouter/middlewares/_cache_fill.py",
    "edgerouter/middlewares/_cache_policy.py",
    "edgerouter/middlewares/_cache_store.py",
    "edgerouter/middlewares/_codings.py",
    "edgerouter/middlewares/_fields.py",
    "edgerouter/middlewares/_headers_cors.py",
    "edgerouter/middlewares/_headers_secure.py",
    "edgerouter/middlewares/_ip_list.py",
    "edgerouter/middlewares/_later.py",
    "edgerouter/middlewares/_path.py",
    "edgerouter/middlewares/_pipe.py",
    "edgerouter/middlewares/_rate_stores.py",
    "edgerouter/middlewares/_slices.py",
    "edgerouter/middlewares/_sniff.py",
    "edgerouter/middlewares/_source.py",
    "edgerouter/middlewares/add_prefix.py",
    "edgerouter/middlewares/buffering.py",
    "edgerouter/middlewares/circuit_breaker.py",
    "edgerouter/middlewares/compress.py",
    "edgerouter/middlewares/content_type.py",
    "edgerouter/middlewares/encoded_characters.py",
    "edgerouter/middlewares/headers.py",
    "edgerouter/middlewares/in_flight_req.py",
    "edgerouter/middlewares/ip_allow_list.py",
    "edgerouter/middlewares/ip_deny_list.py",
    "edgerouter/middlewares/ip_white_list.py",
    "edgerouter/middlewares/rate_limit.py",
    "edgerouter/middlewares/replace_path.py",
    "edgerouter/middlewares/request_id.py",
    "edgerouter/middlewares/response_cache.py",
    "edgerouter/middlewares/retry.py",
    "edgerouter/middlewares/strip_prefix.py",
    "edgerouter/middlewares/timeouts.py",
    "edgerouter/telemetry/access_log.py",
    "edgerouter/telemetry/keyed.py",
    "edgerouter/telemetry/log_common.py",
    "edgerouter/telemetry/log_lines.py",
    "edgerouter/telemetry/memory.py",
    "edgerouter/telemetry/recorder.py",
    "edgerouter/telemetry/records.py",
    "edgerouter/telemetry/series.py",
    "edgerouter/wire/*.py",
    "edgerouter/net/*.py",
    "edgerouter/proxy/*.py",
    "edgerouter/rules/*.py",
    "edgerouter/rules/matchers/*.py",
    "edgerouter/routing/*.py",
    "edgerouter/services/_children.py",
    "edgerouter/services/_hashing.py",
    "edgerouter/services/_passive.py",
    "edgerouter/services/_rotation.py",
    "edgerouter/services/_sticky.py",
    "edgerouter/services/_tracking.py",
    "edgerouter/services/highest_random_weight.py",
    "edgerouter/services/load_balancer.py",
    "edgerouter/services/weighted.py",
    "edgerouter/services/balancers/*.py",
]
# All compiled modules are one library, and nobody but themselves calls their functions: calls within it are direct and
# can be inlined, not by way of the linker's table (docs/decisions/0015-what-a-request-costs.md).
WITHIN = ["-fvisibility=hidden", "-fno-semantic-interposition", "-fno-plt"]
# The interpreter's own flags ask for all warnings. Nobody reads those about generated code, and to find them takes
# twice as long as to compile it.
UNWARNED = ["-Wno-all", "-w"]


def _missing() -> str:
    """What stands in the way of compiling, or ""."""
    if not (shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")):
        return "no C compiler found"
    headers = Path(sysconfig.get_paths()["include"], "Python.h")
    return "" if headers.exists() else f"{headers} not found (Debian: apt-get install python3-dev)"


def extensions() -> list:
    if os.environ.get("EDGEROUTER_PURE") == "1":
        return []
    missing = _missing()
    if missing:
        print(f"edgerouter: {missing}; installing in pure mode (slower)", file=sys.stderr)
        return []
    from mypyc.build import mypycify

    here = Path(__file__).parent
    found = (path for pattern in COMPILED for path in here.glob(pattern))
    files = sorted(str(path.relative_to(here)) for path in found if path.name != "__init__.py")
    found_extensions = mypycify(files, opt_level="2", debug_level="0", group_name="edgerouter", multi_file=True)
    for extension in found_extensions:
        extension.extra_compile_args = [*extension.extra_compile_args, *WITHIN, *UNWARNED]
    return found_extensions


class SideBySide(build_ext):
    """Compiles an extension's files on all cores that this process may use; setuptools takes one after another."""

    def build_extensions(self) -> None:
        self.parallel = self.parallel or len(os.sched_getaffinity(0))
        one_after_another = self.compiler.compile

        def compile_all(sources: list, **how) -> list:
            with ThreadPoolExecutor(self.parallel) as pool:
                made = pool.map(lambda source: one_after_another([source], **how), sources)
                # In the order of the sources, so that the same library comes of it.
                return [path for paths in made for path in paths]

        self.compiler.compile = compile_all
        super().build_extensions()


setup(ext_modules=extensions(), cmdclass={"build_ext": SideBySide})
