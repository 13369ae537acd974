"""Scalers for data, and every norm on the CPU, forward and backward.

`ZScoreScaler`, `MinMaxScaler` and `RunningScaler` bring the columns of a table to one scale; they
need NumPy alone, and follow scikit-learn's estimator interface. `omninorm.nn` has the norms as
modules for PyTorch: that import needs torch, this one does not.
"""

from importlib.metadata import PackageNotFoundError, version

from omninorm._estimator import NotFittedError
from omninorm._native import Error, alpha_of_half_life, get_num_threads, set_num_threads
from omninorm._scaler import MinMaxScaler, RunningScaler, ZScoreScaler, from_json, load_scaler

try:
    __version__ = version("omninorm")
except PackageNotFoundError:  # the sources' folder itself is on the path
    __version__ = "unknown"

__all__ = [
    "Error",
    "MinMaxScaler",
    "NotFittedError",
    "RunningScaler",
    "ZScoreScaler",
    "__version__",
    "alpha_of_half_life",
    "from_json",
    "get_num_threads",
    "load_scaler",
    "set_num_threads",
]
