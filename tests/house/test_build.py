"""How the compiled rooms are built: all files of a library side by side, the same library whoever is ready first; what
is hot a second time by the counts of a training load, and as ever where none can be run."""

from __future__ import annotations

import pathlib
import re
import runpy
import shutil
from typing import Any

import pytest
from setuptools import Distribution, Extension

ROOT = pathlib.Path(__file__).parents[2]
# A compiler that begins only when another one has begun too, the first file's being the last to end.
WAITS = """#!/bin/sh
tries=0
until_true() {
    until eval "$1"; do
        tries=$((tries + 1)); [ "$tries" -lt 600 ] || { echo "waited in vain: $1" >&2; exit 9; }
        sleep 0.1
    done
}
case "$*" in *' -c '*) ;; *) echo "$*" >linked; exec gcc "$@" ;; esac
: >"begun.$$"
until_true '[ "$(ls begun.* | wc -l)" -ge 2 ]'
case "$*" in *a.c*) until_true '[ -e temp/b.o ]' ;; esac
exec gcc "$@"
"""
LOGS = """#!/bin/sh
echo "$*" >>said
exec gcc "$@"
"""
HOT, COLD = "__native_edgerouter___http___hot", "__native_edgerouter___config___cold"
LOAD = """
import ctypes, pathlib, sys
library = ctypes.CDLL(str(next(pathlib.Path(sys.argv[1]).glob("*.so")).resolve()))
assert sum(library.hot(i) for i in range(1000)) == 1000
"""
# Without a compiler nothing is compiled, and that is no fault.
pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")


def command(monkeypatch: pytest.MonkeyPatch, folder: pathlib.Path, **texts: str) -> Any:
    """``build_ext`` of setup.py for a library of these C files, in the folder."""
    monkeypatch.setenv("EDGEROUTER_PURE", "1")
    # Only the class is wanted; a setuptools older than the one that builds cannot read pyproject.toml.
    monkeypatch.setattr("setuptools.setup", lambda **_: None)
    monkeypatch.chdir(ROOT)
    build_ext = runpy.run_path("setup.py")["BuildLibrary"]
    monkeypatch.chdir(folder)
    for name, text in texts.items():
        (folder / f"{name}.c").write_text(text)
    library = Extension("library__mypyc", [f"{name}.c" for name in texts])
    made = build_ext(Distribution({"name": "x", "ext_modules": [library]}))
    made.build_lib, made.build_temp, made.parallel = "lib", "temp", 2
    made.ensure_finalized()
    return made


def compile_by(script: str, monkeypatch: pytest.MonkeyPatch, folder: pathlib.Path) -> None:
    """Let this be the compiler."""
    compiler = folder / "cc"
    compiler.write_text(script)
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))


def test_files_are_compiled_side_by_side_and_linked_in_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    compile_by(WAITS, monkeypatch, tmp_path)
    made = command(monkeypatch, tmp_path, a="int b(void); int a(void) { return b(); }", b="int b(void) { return 1; }")
    made.run()
    assert len(list(tmp_path.glob("lib/*.so"))) == 1
    linked = (tmp_path / "linked").read_text()
    assert 0 < linked.index("temp/a.o") < linked.index("temp/b.o")


def test_a_file_that_does_not_compile_fails_the_build(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = command(monkeypatch, tmp_path, a="int a;", b="this is no C", c="int c;")
    with pytest.raises(Exception, match="exit"):
        made.run()
    assert "b.c:1" in capfd.readouterr().err
    assert not list(tmp_path.glob("lib/*.so"))


def build_trained(
    monkeypatch: pytest.MonkeyPatch, folder: pathlib.Path, load: str, compiler: str = LOGS
) -> dict[str, list[str]]:
    """Build a library of a hot file and another; how the compiler was called for each, in order."""
    compile_by(compiler, monkeypatch, folder)
    texts = {HOT: "int hot(int i) { return i % 2 ? 2 : 0; }", COLD: "int cold(int i) { return i; }"}
    made = command(monkeypatch, folder, **texts)
    for path, text in (("lib/edgerouter/__init__.py", ""), ("benchmarks/_training.py", load)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    made.run()
    said = (folder / "said").read_text().splitlines()
    assert len(list(folder.glob("lib/*.so"))) == 1
    assert "-fprofile" not in [line for line in said if " -shared " in f" {line} "][-1]
    return {name: [line for line in said if f"-c {name}.c" in line] for name in texts}


def test_what_is_hot_is_compiled_again_by_the_counts_of_the_load(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    calls = build_trained(monkeypatch, tmp_path, LOAD)
    assert ["-fprofile-generate" in line for line in calls[HOT]] == [True, False]
    assert ["-fprofile-use" in line for line in calls[HOT]] == [False, True]
    assert ["-fprofile" in line for line in calls[COLD]] == [False]
    assert [path.name for path in tmp_path.rglob("*.gcda")] == [f"{HOT}.gcda"], "where the compiler looks for it"
    assert "without training" not in capfd.readouterr().err


def test_a_second_build_of_the_same_folder_is_trained_as_well(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    build_trained(monkeypatch, tmp_path, LOAD)
    calls = build_trained(monkeypatch, tmp_path, LOAD)
    assert ["-fprofile-generate" in line for line in calls[HOT]] == [True, False, True, False]
    assert list(tmp_path.rglob("*.gcda"))


@pytest.mark.parametrize(
    ("load", "why"),
    [
        ("raise OSError('no loopback here')", "OSError: no loopback here"),
        ("", "the load left no counts"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "the load ended by -9"),
    ],
)
def test_a_load_that_fails_leaves_an_ordinary_build(
    load: str,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    calls = build_trained(monkeypatch, tmp_path, load)
    assert ["-fprofile" in line for line in calls[HOT]] == [True, False]
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("edgerouter: ")]
    assert len(said) == 1 and f"without training ({why})" in said[0]


@pytest.mark.parametrize("step", [" -c ", " -shared "])
def test_a_compiler_that_cannot_count_makes_an_ordinary_build(
    step: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fails = f"""case " $* " in *'{step}'*-fprofile-generate*) echo "no libgcov" >&2; exit 1 ;; esac"""
    calls = build_trained(monkeypatch, tmp_path, LOAD, LOGS.replace("exec gcc", f"{fails}\nexec gcc"))
    assert "-fprofile" not in calls[HOT][-1]
    assert "compiled without training" in capfd.readouterr().err


def test_who_wants_no_training_has_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGEROUTER_UNTRAINED", "1")
    calls = build_trained(monkeypatch, tmp_path, LOAD)
    assert ["-fprofile" in line for line in calls[HOT]] == [False]
    assert "without training (EDGEROUTER_UNTRAINED=1)" in capfd.readouterr().err


def test_the_cache_of_wheels_knows_what_decides_a_build() -> None:
    """What setup.py reads of the checkout and the environment is in the key; the image's build has the load, too."""
    key, image = (ROOT / ".ci/wheel.sh").read_text(), (ROOT / ".dockerignore").read_text()
    for word in ("benchmarks/_training.py", "benchmarks/_worker.py", "benchmarks/_routes.py"):
        assert word in key and f"!{word}\n" in image
    read = set(re.findall(r'environ\.get\("(\w+)"', (ROOT / "setup.py").read_text()))
    assert read and {name for name in read if name not in key} == set()
