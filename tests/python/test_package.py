"""What was installed, seen from a process of its own."""

import subprocess
import sys

import omninorm
import torch


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_package_imports_no_torch():
    code = "import omninorm, sys; print('torch' in sys.modules, omninorm.__version__)"
    assert run(code) == f"False {omninorm.__version__}"
    assert omninorm.__version__[0].isdigit()


def test_nn_loads_the_operators():
    code = "import omninorm.nn, torch; print(torch.ops.omninorm.rms_norm(torch.ones(1, 4), [4]))"
    assert run(code).startswith("tensor([[1.")


def test_another_torch_is_refused():
    code = """
import torch
torch.__version__ = "9.9.0"
try:
    import omninorm.nn
except ImportError as error:
    print(error)
"""
    assert run(code).startswith("[omninorm] expected torch 2.13, got 9.9.0. omninorm.nn takes")


def test_one_openmp_runtime_is_mapped():
    code = """
import re, omninorm.nn, torch
omninorm.nn.RMSNorm(64)(torch.randn(512, 64))
maps = open("/proc/self/maps").read()
print(len(set(re.findall(r"(\\S*/lib(?:gomp|iomp|omp)[^/\\s]*)$", maps, re.MULTILINE))))
"""
    assert run(code) == "1"
    assert torch.__version__.startswith("2.13.")
