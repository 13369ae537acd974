"""Loads the operators: torch.ops.omninorm.rms_norm and all others."""

from pathlib import Path

import torch

# The C++ interface of torch changes with each minor version.
TORCH = "2.13"

if not torch.__version__.startswith(TORCH + "."):
    raise ImportError(f"[omninorm] expected torch {TORCH}, got {torch.__version__}")

library = Path(__file__).with_name("libomninorm_torch.so")
if not library.exists():
    raise ImportError(
        f"[omninorm] expected the built operators in {library}, got none: "
        "install the package with pip install --no-build-isolation ."
    )
torch.ops.load_library(library)

ops = torch.ops.omninorm
