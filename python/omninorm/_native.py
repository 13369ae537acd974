"""The compiled half of the scalers."""

try:
    from omninorm import _scalers as native
except ImportError as error:
    raise ImportError(
        f"[omninorm] expected the compiled module omninorm._scalers, got none ({error}): "
        "install the package with pip install ."
    ) from error

Error = native.Error
Error.__module__ = "omninorm"
Error.__doc__ = (
    """What the library cannot take: "[z_score_scaler] expected ..., got ...". A ValueError."""
)


def alpha_of_half_life(rows: float) -> float:
    """The alpha with which RunningScaler counts a value half after `rows` more rows, rows > 0."""
    return native.alpha_of_half_life(rows)


def get_num_threads() -> int:
    """How many threads one call of a scaler uses at most.

    At first OMP_NUM_THREADS where that is a number, else the CPUs that this process may run on.
    They are threads of their own, for one call, not OpenMP's or torch's. Small arrays take one.
    """
    return native.num_threads()


def set_num_threads(count: int) -> None:
    """Sets what get_num_threads() tells, 1 to 1024. Results are the same bits for every number."""
    native.set_num_threads(count)
