"""What callers pass, as arrays that the library takes. Messages follow scikit-learn's, which its
own checks, and people's searches, look for."""

import sys

import numpy as np

from omninorm._native import native


def _loaded(module: str, name: str):
    """A class of a module that somebody has imported already; else one that has no instances."""
    return getattr(sys.modules.get(module), name, ())


def is_pandas(x) -> bool:
    return isinstance(x, _loaded("pandas", "DataFrame"))


def arrow_table(x):
    """The table behind the Arrow C data interface, to be read once, or None.

    pandas speaks it too, by way of pyarrow, and has its columns in NumPy arrays anyway.
    """
    if is_pandas(x) or isinstance(x, _loaded("pandas", "Series")):
        return None
    if not hasattr(type(x), "__arrow_c_stream__") and not hasattr(type(x), "__arrow_c_array__"):
        return None
    return native.ArrowTable(x)


def feature_names(x):
    """The column names of a pandas DataFrame as an array of str, or None where there are none."""
    if not is_pandas(x):
        return None
    names = np.asarray(x.columns, dtype=object)
    texts = [isinstance(name, str) for name in names]
    if len(names) == 0 or not any(texts):
        return None
    if not all(texts):
        types = sorted({type(name).__name__ for name in names})
        raise TypeError(
            "Feature names are only supported if all input features have string names, but your "
            f"input has {types} as feature name / column name types. If you want feature names to "
            "be stored and validated, you must convert them all to strings, by using X.columns = "
            "X.columns.astype(str) for example."
        )
    return names


def _as_array(x):
    sparse = sys.modules.get("scipy.sparse")
    if sparse is not None and sparse.issparse(x):
        raise TypeError(
            "Sparse data was passed, but dense data is required. Use '.toarray()' to convert to a "
            "dense numpy array."
        )
    if isinstance(x, np.matrix):
        raise TypeError(
            "np.matrix is not supported. Please convert to a numpy array with np.asarray."
        )
    if isinstance(x, np.ma.MaskedArray):
        return x.astype(np.promote_types(x.dtype, np.float32)).filled(np.nan)
    if is_pandas(x) and not all(isinstance(dtype, np.dtype) for dtype in x.dtypes):
        # pandas' own types, whose missing values are no NaN.
        return x.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(x)


def _check_shape(array, owner: str, least_rows: int) -> None:
    if array.ndim < 2:
        kind = "1D" if array.ndim else "scalar"
        raise ValueError(
            f"Expected 2D array, got {kind} array instead:\n"
            f"array={np.array2string(array, threshold=20)}.\n"
            "Reshape your data either using array.reshape(-1, 1) if your data has a single feature "
            "or array.reshape(1, -1) if it contains a single sample."
        )
    if array.ndim > 2:
        raise ValueError(f"Found array with dim {array.ndim}, while {owner} expects 2.")
    for count, least, what in zip(array.shape, (least_rows, 1), ("sample", "feature")):
        if count < least:
            raise ValueError(
                f"Found array with {count} {what}(s) (shape={array.shape}) while a minimum of "
                f"{least} is required by {owner}."
            )


def as_matrix(x, owner: str, *, least_rows: int = 0):
    """x as a float32, float64 or float16 array [rows, columns] of this machine's byte order, in
    memory that the library can walk: x's own where that will do.

    float64 for all other types of numbers, and for texts that are numbers.
    """
    array = _as_array(x)
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported\n{array}\n")
    if array.dtype.kind in "mMV":
        raise TypeError(f"{owner} expected numbers, got dtype {array.dtype}")
    if array.dtype.char not in "edf":
        array = array.astype(np.float64)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    _check_shape(array, owner, least_rows)
    whole = all(stride % array.itemsize == 0 for stride in array.strides)
    if not array.flags.aligned or not whole:
        array = array.copy()
    return np.asarray(array)


def as_weights(sample_weight, rows: int | None, owner: str):
    """sample_weight as float64 [rows]; a number counts for every row; None stays None."""
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight)
    if weights.dtype.kind == "c":
        raise ValueError("Complex data not supported for sample_weight")
    if weights.ndim == 0:
        if rows is None:
            raise ValueError(f"{owner} expected a sample_weight for each row, got one number")
        weights = np.full(rows, weights, dtype=np.float64)
    if weights.ndim != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar, got {weights.ndim}D array.")
    if rows is not None and weights.shape != (rows,):
        raise ValueError(f"sample_weight.shape == {weights.shape}, expected {(rows,)}!")
    return np.ascontiguousarray(weights, dtype=np.float64)
