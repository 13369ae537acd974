"""What a plain Python process sees (the README's example is run by tests/install)."""

import re
from pathlib import Path

import torch
from norms import ops


def test_one_openmp_runtime_is_mapped():
    ops.rms_norm(torch.randn(512, 64), [64])
    maps = Path("/proc/self/maps").read_text()
    runtimes = set(re.findall(r"(\S*/lib(?:gomp|iomp|omp)[^/\s]*)$", maps, re.MULTILINE))
    assert len(runtimes) == 1, runtimes
