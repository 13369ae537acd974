"""What was installed, seen from a process of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

import omninorm
import pytest
import torch


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_package_without_the_operators_says_how_to_get_them(tmp_path):
    """What pip install . gives where there is no torch, imported where there is one."""
    package = Path(omninorm.__file__).parent
    for file in package.iterdir():
        if file.is_file() and file.name != "libomninorm_torch.so":
            (tmp_path / "omninorm").mkdir(exist_ok=True)
            shutil.copy(file, tmp_path / "omninorm")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import omninorm
try:
    import omninorm.nn
except ImportError as error:
    print(error)
"""
    message = run(code)
    assert message.startswith("[omninorm] expected the built operators in ")
    assert message.endswith("pip install --no-build-isolation . in omninorm's sources")


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


@pytest.mark.parametrize("order", ["omninorm, omninorm.nn", "torch, omninorm", "omninorm, torch"])
def test_one_openmp_runtime_is_mapped(order):
    code = (
        f"import {order}"
        + """
import re, omninorm.nn, torch
omninorm.nn.RMSNorm(64)(torch.randn(512, 64))
x = torch.randn(100000, 8)
y = torch.from_numpy(omninorm.ZScoreScaler().fit_transform(x))
torch.testing.assert_close(y, (x - x.mean(0)) / x.std(0, correction=0), rtol=1e-4, atol=1e-4)
torch.testing.assert_close(omninorm.nn.LayerNorm(8)(y), torch.nn.LayerNorm(8)(y))
maps = open("/proc/self/maps").read()
print(len(set(re.findall(r"(\\S*/lib(?:gomp|iomp|omp)[^/\\s]*)$", maps, re.MULTILINE))))
"""
    )
    assert run(code) == "1"
    assert torch.__version__.startswith("2.13.")
