"""Runs the Python examples of the documentation, each in a process of its own, in a folder where
build/release/lib is the folder of the built operators; says which failed.

    run_python.py LIBRARIES EXAMPLE...
"""

import contextlib
import io
import os
import runpy
import sys
import tempfile
import traceback
from pathlib import Path

import torch  # noqa: F401  once for all: the children are forked


def run(example: Path) -> bool:
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            runpy.run_path(str(example), run_name="__main__")
    except BaseException:
        print(f"{example.name} failed:\n{traceback.format_exc()}", flush=True)
        return False
    expected = example.with_name(example.name + ".out")
    if expected.exists() and expected.read_text() != printed.getvalue():
        print(f"{example.name} printed\n{printed.getvalue()}where the page says", flush=True)
        print(expected.read_text(), flush=True)
        return False
    return True


def main(libraries: str, *examples: str) -> int:
    assert examples, "no examples"
    paths = [Path(example).resolve() for example in examples]
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(f"{folder}/build/release")
        os.symlink(Path(libraries).resolve(), f"{folder}/build/release/lib")
        os.chdir(folder)
        for path in paths:
            child = os.fork()
            if child == 0:
                os._exit(0 if run(path) else 1)
            failures += os.waitpid(child, 0)[1] != 0
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
