"""Loads the operators: torch.ops.omninorm.rms_norm and all others."""

from pathlib import Path

# The C++ interface of torch changes with each minor version.
TORCH = "2.13"
HOW = (
    f"omninorm.nn takes torch {TORCH}, and a build that has seen it: "
    f"pip install 'torch=={TORCH}.*', then pip install --no-build-isolation . in omninorm's sources"
)

try:
    import torch
except ImportError as error:
    raise ImportError(f"[omninorm] expected torch {TORCH}, got none ({error}). {HOW}") from error

if not torch.__version__.startswith(TORCH + "."):
    raise ImportError(f"[omninorm] expected torch {TORCH}, got {torch.__version__}. {HOW}")

library = Path(__file__).with_name("libomninorm_torch.so")
if not library.exists():
    raise ImportError(f"[omninorm] expected the built operators in {library}, got none. {HOW}")
torch.ops.load_library(library)

ops = torch.ops.omninorm
