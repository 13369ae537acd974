"""./dev on machines that lack something: each gives one clear line, not a page of output."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534

# Stand-ins for the build: two programs that print what they were called with, and from where.
PROJECT = """
cmake_minimum_required(VERSION 3.25)
project(stand_in LANGUAGES CXX)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
add_executable(omninorm main.cc)
add_executable(omninorm-lab main.cc)
"""
PROGRAM = """
#include <filesystem>
#include <iostream>
int main(int count, char** arguments) {
  for (int i = 1; i < count; ++i) std::cout << arguments[i] << "|";
  std::cout << std::filesystem::current_path().filename().string() << "\\n";
}
"""
ALL_INSTALLED = """
for word; do case $word in -*|*Status*) ;; *) echo "installed $word" ;; esac; done
"""


class Machine:
    """A checkout of ./dev and its lists in a folder of its own, with programs played by scripts."""

    def __init__(self, folder: Path):
        self.root = folder / "checkout"
        self.programs = folder / "programs"
        self.programs.mkdir()
        shutil.copytree(ROOT / "setup", self.root / "setup")
        shutil.copy(ROOT / "dev", self.root)
        shutil.copy(ROOT / "CMakePresets.json", self.root)
        (self.root / "CMakeLists.txt").write_text(PROJECT)
        (self.root / "main.cc").write_text(PROGRAM)
        self.environment = {
            "PATH": f"{self.programs}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "CCACHE_DISABLE": "1",
            "OMNINORM_JANEAUSTENR": "/",
        }
        self.has("dpkg-query", ALL_INSTALLED)

    def has(self, name: str, script: str) -> Path:
        program = self.programs / name
        program.write_text(f"#!/bin/bash\n{script}\n")
        program.chmod(0o755)
        return program

    def dev(self, *arguments: str, user: int | None = None, cwd: Path | None = None, **environment):
        return subprocess.run(
            [self.root / "dev", *arguments],
            env=self.environment | environment,
            cwd=cwd or self.root,
            user=user,
            capture_output=True,
            text=True,
            timeout=300,
        )


@pytest.fixture
def machine():
    # Not pytest's tmp_path, which another user cannot enter.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Machine(Path(folder))


def stopped_with(result, *words: str) -> str:
    """The one line with which ./dev stopped, among few."""
    assert result.returncode == 1, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) <= 6, result.stderr
    (line,) = [line for line in lines if line.startswith("dev: ")]
    for word in words:
        assert word in line
    return line


def test_help_teaches_every_verb(machine):
    text = machine.dev("help").stdout
    verbs = stopped_with(machine.dev("nonsense")).split("the verbs are ")[1].split()
    assert len(verbs) >= 9
    for verb in verbs:
        assert f"\n  {verb} " in text


def test_unknown_verb_suggests_the_nearest(machine):
    stopped_with(machine.dev("tset"), "did you mean test?")
    stopped_with(machine.dev("comprae"), "did you mean compare?")
    assert "did you mean" not in machine.dev("xxxxxxxxxxxx").stderr


def test_without_root_prints_the_line_for_root(machine):
    machine.has("dpkg-query", 'echo "installed cmake"; exit 1')
    machine.has("apt-get", "echo called >&2; exit 100")
    as_user = NOBODY if os.geteuid() == 0 else None
    result = machine.dev("build", "--no-torch", user=as_user)
    stopped_with(result, "Debian packages are missing")
    (command,) = [line for line in result.stderr.splitlines() if "sudo apt-get" in line]
    assert " g++ " in command and " libhwy-dev " in command and " libgtest-dev" in command
    assert " cmake" not in command
    assert "called" not in result.stderr


def test_headers_of_python_are_asked_for_by_the_tests_alone(machine):
    machine.has("dpkg-query", "exit 1")
    machine.has("apt-get", "exit 100")
    machine.has("python3", '[[ "$*" != *Python.h* ]]')
    as_user = NOBODY if os.geteuid() == 0 else None
    asked = {verb: machine.dev(verb, user=as_user).stderr for verb in ("test", "compare")}
    assert " python3-dev" in asked["test"] and " libgtest-dev" in asked["test"]
    assert " g++ " in asked["compare"] and "python3-dev" not in asked["compare"]


def test_a_folder_that_has_its_tests_keeps_what_they_need(machine):
    machine.has("dpkg-query", "exit 1")
    machine.has("apt-get", "exit 100")
    folder = machine.root / "build" / "release"
    folder.mkdir(parents=True)
    (folder / "dev-arguments").write_text("-DOMNINORM_TESTS=ON\n")
    as_user = NOBODY if os.geteuid() == 0 else None
    assert " libgtest-dev" in machine.dev("compare", user=as_user).stderr


# Without root ./dev prints what root has to run and stops, which has tests of its own; CI is root.
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gets as far as apt-get")
def test_unreachable_debian_registry(machine):
    machine.has("dpkg-query", "exit 1")
    machine.has(
        "apt-get",
        "for i in {1..80}; do echo 'W: Failed to fetch, Temporary failure resolving'; done\n"
        "echo 'E: Unable to locate package ninja-build'; exit 100",
    )
    result = machine.dev("build", "--no-torch")
    line = stopped_with(result, "apt-get", "cannot be reached", "build/logs/debian.log")
    assert "Temporary failure" not in line


# As above.
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gets as far as apt-get")
def test_disk_fills_up_while_installing(machine):
    machine.has("dpkg-query", "exit 1")
    machine.has("apt-get", "echo 'dpkg: error: cannot copy: No space left on device'; exit 100")
    stopped_with(machine.dev("build", "--no-torch"), "the disk is full", "GB free")


def test_too_small_disk(machine):
    machine.has("df", "echo head; echo /dev/x 100 100 200000 99% /")
    stopped_with(machine.dev("build", "--no-torch"), "needs 1 GB", "0 GB are free")


def test_missing_compiler(machine):
    stopped_with(
        machine.dev("build", "--no-torch", CXX="/no/such/g++"), "C++20 compiler", "/no/such/g++"
    )


def test_unreachable_python_registry(machine):
    result = machine.dev(
        "compare",
        PIP_CONFIG_FILE="/dev/null",
        PIP_INDEX_URL="http://127.0.0.1:9/simple",
        PATH=f"{machine.programs}:{Path(sys.base_prefix) / 'bin'}:/usr/bin:/bin",
    )
    stopped_with(result, "pip", "cannot be reached", "build/logs/pip.log")


def test_named_python_without_torch_is_told_and_left_alone(machine):
    python = machine.has("python-without", f'exec {sys.executable} -I -S "$@"')
    machine.has("df", "echo head; echo /dev/x 100 100 1000000 99% /")
    result = machine.dev(
        "compare",
        OMNINORM_PYTHON=str(python),
        PATH=f"{machine.programs}:{Path(sys.base_prefix) / 'bin'}:/usr/bin:/bin",
    )
    stopped_with(result, "installing torch needs 3 GB")
    assert f"OMNINORM_PYTHON ({python}) lacks torch==2.13.*" in result.stderr


def test_named_python_with_torch_is_used_and_programs_start_where_dev_was_called(machine):
    elsewhere = machine.root.parent / "elsewhere"
    elsewhere.mkdir()
    result = machine.dev(
        "compare",
        "--vary",
        "a=b c",
        cwd=elsewhere,
        OMNINORM_PYTHON=sys.executable,
        PIP_NO_INDEX="1",
    )
    assert result.stdout == "compare|--vary|a=b c|elsewhere\n", result.stderr
    assert not (machine.root / ".venv").exists()


def test_set_up_is_skipped_when_nothing_changed(machine):
    machine.has("dpkg-query", "echo again >>$HOME/calls\n" + ALL_INSTALLED)
    calls = machine.root.parent / "calls"
    assert machine.dev("build", "--no-torch").returncode == 0
    assert machine.dev("build", "--no-torch").returncode == 0
    assert calls.read_text().count("again") == 1
    with (machine.root / "setup" / "debian.txt").open("a") as lists:
        lists.write("[test]\none-more\n")
    assert machine.dev("build", "--no-torch").returncode == 0
    assert calls.read_text().count("again") == 2


def test_compile_error_is_shown_without_the_commands(machine):
    (machine.root / "main.cc").write_text("int main() { return nothing; }\n")
    result = machine.dev("build", "--no-torch")
    assert result.returncode == 1
    assert "main.cc:1:21: error:" in result.stderr
    assert "build/logs/build-no-torch.log" in result.stderr
    assert len(result.stderr.splitlines()) <= 10


def test_cmake_error_is_one_line(machine):
    with (machine.root / "CMakeLists.txt").open("a") as project:
        project.write("find_package(no_such_package REQUIRED)\n")
    stopped_with(
        machine.dev("build", "--no-torch"), "CMake: ", "no_such_package", "configure-no-torch.log"
    )
