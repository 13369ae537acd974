"""Loads the operators under test; what the test files share stands in norms.py."""

import os

import pytest
import torch


def pytest_configure(config):
    library = os.environ.get("OMNINORM_TORCH_LIBRARY")
    if not library:
        raise pytest.UsageError(
            "set OMNINORM_TORCH_LIBRARY to the built libomninorm_torch.so (ctest does)"
        )
    torch.ops.load_library(library)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
