"""How the compiled rooms are built: all files of a library side by side, the same library whoever is ready first."""

from __future__ import annotations

import pathlib
import runpy
import shutil
import sys
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
# Without a compiler nothing is compiled, and that is no fault.
pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")


def command(monkeypatch: pytest.MonkeyPatch, folder: pathlib.Path, **texts: str) -> Any:
    """``build_ext`` of setup.py for a library of these C files, in the folder."""
    monkeypatch.setenv("EDGEROUTER_PURE", "1")
    monkeypatch.setattr(sys, "argv", ["setup.py", "--name"])
    monkeypatch.chdir(ROOT)
    build_ext = runpy.run_path("setup.py")["SideBySide"]
    monkeypatch.chdir(folder)
    for name, text in texts.items():
        (folder / f"{name}.c").write_text(text)
    library = Extension("library", [f"{name}.c" for name in texts])
    made = build_ext(Distribution({"name": "x", "ext_modules": [library]}))
    made.build_lib, made.build_temp, made.parallel = "lib", "temp", 2
    made.ensure_finalized()
    return made


def test_files_are_compiled_side_by_side_and_linked_in_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text(WAITS)
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
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
