"""The compiler's modules and nothing else; everything that can be declared stands in pyproject.toml.

mypyc compiles the hot rooms. Without a C compiler, or with EDGEROUTER_PURE=1, the same files are installed and run
uncompiled: slower, with the same results on the same tests.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError

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


# What every request passes, and the compiler's run-time library: compiled twice, the second time by the counts of a
# training load (docs/decisions/0015-what-a-request-costs.md). What the load leaves out is compiled as ever.
HOT = re.compile(
    r"__native_edgerouter___(contracts|http|proxy|routing|wire___http1\w*|net___(?!tls|openssl|prox)|telemetry___(memory|rec)"
    r"|services____(pass|rot|track)|services___load|services___balancers___wrr)|build/(?!__native|edgerouter/)"
)
LEARN = ["-fprofile-generate", "-fprofile-update=single"]
LEARNT = ["-fprofile-use", "-fprofile-partial-training", "-Wno-missing-profile", "-Wno-coverage-mismatch"]
TRAINING = Path("benchmarks", "_training.py")
LONGEST = 180.0  # seconds that the load may take; it takes two


class BuildLibrary(build_ext):
    """Compiles a library's files on all cores that this process may use, where setuptools takes one after another;
    those of every request by the counts of a training load, where one can be run."""

    _flags: list = []  # beyond the others, for what is hot
    _only_hot = False  # the rest is compiled already

    def build_extensions(self) -> None:
        self.parallel = self.parallel or len(os.sched_getaffinity(0))
        self._one_after_another = self.compiler.compile
        self.compiler.compile = self._side_by_side
        library = next((e for e in self.extensions if e.name.endswith("__mypyc")), None)
        if library is None:
            super().build_extensions()
        elif why := self._untrainable():
            self._say(why)
            super().build_extensions()
        else:
            self._build_trained(library)

    def _untrainable(self) -> str:
        """What stands in the way of a training load, or ""."""
        if os.environ.get("EDGEROUTER_UNTRAINED") == "1":
            return "EDGEROUTER_UNTRAINED=1"
        if not TRAINING.exists():
            return f"{TRAINING} is not here"
        if not Path(self.build_lib, "edgerouter", "__init__.py").exists():
            return "built in place"
        asked = subprocess.run([*self.compiler.compiler_so, "--version"], capture_output=True, text=True, check=False)
        return "" if "Free Software Foundation" in asked.stdout else "the compiler is not gcc"

    def _build_trained(self, library: Extension) -> None:
        for old in Path(self.build_temp).rglob("*.gcda"):
            old.unlink()
        self.force = self.compiler.force = True  # what an earlier build left counts nothing
        self._flags, library.extra_link_args = LEARN, ["-fprofile-generate"]
        try:
            super().build_extensions()
            self._only_hot, self._flags, library.extra_link_args = True, LEARNT, []
            train(self.build_lib)
            if not any(Path(self.build_temp).rglob("*.gcda")):
                raise RuntimeError("the load left no counts")
            self.build_extension(library)
        except (OSError, RuntimeError, subprocess.SubprocessError, CCompilerError) as e:
            self._say(str(e))
            self._flags, library.extra_link_args = [], []
            super().build_extensions()

    def _say(self, why: str) -> None:
        print(f"edgerouter: compiled without training ({why}); a request costs some 5 % more", file=sys.stderr)

    def _side_by_side(self, sources: list, **how) -> list:
        with ThreadPoolExecutor(self.parallel) as pool:
            # In the order of the sources, so that the same library comes of it.
            return [path for paths in pool.map(lambda source: self._compile(source, how), sources) for path in paths]

    def _compile(self, source: str, how: dict) -> list:
        hot = HOT.search(source) is not None
        if self._only_hot and not hot:
            return self.compiler.object_filenames([source], output_dir=how["output_dir"])
        flags = [*how["extra_postargs"], *(self._flags if hot else ())]
        return self._one_after_another([source], **{**how, "extra_postargs": flags})


def train(tree: str) -> None:
    """Let the library of the tree write its counts; raises RuntimeError, OSError or SubprocessError where it cannot."""
    command = [sys.executable, str(TRAINING), tree]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"the load ended by {done.returncode}"])[-1])


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildLibrary})
