"""Every norm on the CPU, forward and backward. `omninorm.nn` has them as modules for PyTorch.

This package imports no torch; `omninorm.nn` does.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("omninorm")
except PackageNotFoundError:  # the sources' folder itself is on the path
    __version__ = "unknown"

__all__ = ["__version__"]
