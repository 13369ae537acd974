"""The scalers: scikit-learn's estimator interface over the library's immutable fitted state."""

import json
import os
import time

import numpy as np

from omninorm import _output
from omninorm._estimator import Estimator, check_names, names_out, not_fitted
from omninorm._input import arrow_table, as_matrix, as_weights, feature_names
from omninorm._native import native


def _with_options(core, options: dict):
    """The same fitted state under other options."""
    file = json.loads(core.to_json())
    file["options"] = options
    return native.load(json.dumps(file))


class _Scaler(Estimator):
    """What the scalers share. `_core`, once fitted, is the library's scaler; it never changes, a
    further fit puts another in its place, so that a failed or interrupted call changes nothing."""

    _kind: str

    # What each kind says for itself.
    def _make(self):
        """The library's scaler with these parameters, fitted on nothing."""
        raise NotImplementedError

    @classmethod
    def _from_options(cls, options: dict) -> dict:
        return options

    def _fitted(self):
        core = self.__dict__.get("_core")
        if core is None:
            raise not_fitted(self)
        options = self._make().options
        if core.options != options:  # set_params after fit
            self._core = core = _with_options(core, options)
        return core

    def __sklearn_is_fitted__(self) -> bool:
        return "_core" in self.__dict__

    def _check_columns(self, columns: int, core) -> None:
        if columns != core.columns:
            raise ValueError(
                f"X has {columns} features, but {type(self).__name__} is expecting {core.columns} "
                "features as input."
            )

    def _names(self, core):
        return np.asarray(core.names, dtype=object) if core.names else None

    def _seen(self):
        """What partial_fit goes on from: None before the first call."""
        return self._fitted() if self.__sklearn_is_fitted__() else None

    def _take(self, X, sample_weight, core, *, whole=False):
        """Fits on X, after what core has seen; `whole`: X is all that there is."""
        who, first = type(self).__name__, core is None
        table = arrow_table(X)
        if table is None:
            x = as_matrix(X, who, least_rows=1 if whole else 0)
            names, columns = feature_names(X), x.shape[1]
            weights = as_weights(sample_weight, x.shape[0], who)
        else:
            names, columns = table.names, len(table.names)
            weights = as_weights(sample_weight, None, who)
            if columns == 0:
                raise ValueError(
                    f"Found a table with 0 feature(s) while a minimum of 1 is required by {who}."
                )
        if whole and weights is not None and not weights.any():
            raise ValueError("Sample weights must contain at least one non-zero number.")
        if first:
            core = self._make()
        else:
            check_names(self, self._names(core), names)
            self._check_columns(columns, core)
        kept = list(names) if first and names is not None else []
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if table is None:
            wide = x.astype(np.float32) if x.dtype == np.float16 else x
            new = core.partial_fit(wide, weights, kept, now)
        else:
            new = core.partial_fit_arrow(table, weights, kept, now)
            if new.columns < 0:
                # A stream without a single batch.
                new = core.partial_fit(np.empty((0, columns)), None, kept, now)
            if whole and new.rows == 0:
                raise ValueError(
                    f"Found a table with 0 sample(s) while a minimum of 1 is required by {who}."
                )
        self._core = new
        return self

    def _apply(self, X, copy, inverse):
        core, who = self._fitted(), type(self).__name__
        table = arrow_table(X)
        x = None if table else as_matrix(X, who)
        names = table.names if table else feature_names(X)
        fitted = self._names(core)
        # inverse_transform takes plain arrays without a warning, as scikit-learn's does.
        if not inverse or (names is not None and fitted is not None):
            check_names(self, fitted, names)
        self._check_columns(len(table.names) if table else x.shape[1], core)
        if table:
            return core.transform_arrow(table, inverse)
        dtype = x.dtype
        if dtype == np.float16:
            x = x.astype(np.float32)
        copy = self.copy if copy is None else copy
        y = np.empty_like(x) if copy or not x.flags.writeable else x
        core.transform(x, y, inverse)
        return y.astype(dtype, copy=False)

    def fit_transform(self, X, y=None, **fit_params):
        """fit(X, y, **fit_params).transform(X). X is read twice: no stream that is used up."""
        result = self.fit(X, y, **fit_params).transform(X)
        if len(result) != self._core.rows:
            raise ValueError(
                f"{type(self).__name__} expected an X that can be read twice, got one that gave "
                f"{self._core.rows} rows and then {len(result)}"
            )
        return result

    def transform(self, X, copy=None):
        """X scaled: [rows, columns] of X's type (float64 for numbers that are no floats), as an
        array, or as set_output says.

        X is a NumPy array, a pandas DataFrame, a table that speaks the Arrow C data interface, or
        anything that NumPy makes an array of. NaN stays NaN; infinities pass through. copy=False
        writes into X where that is a writable array of float32 or float64; where Ctrl-C stops it,
        part of X is scaled. `copy` here goes before the parameter.
        Raises NotFittedError, and ValueError for other columns than fit's.
        """
        return _output.wrap(self, X, self._apply(X, copy, inverse=False))

    def inverse_transform(self, X, copy=None):
        """What transform made X from: an array [rows, columns]. Arguments as transform's. A value
        that was clipped comes back as the end of the range."""
        return self._apply(X, copy, inverse=True)

    def merge(self, other):
        """Takes in what another scaler with the same parameters has seen, and returns self.

        The same state, bit for bit, as other.merge(self) gives. A scaler that is not fitted is
        neutral. Raises Error for other parameters, columns or column names."""
        if type(other) is not type(self):
            raise TypeError(
                f"{type(self).__name__} expected another {type(self).__name__} to merge, got "
                f"{type(other).__name__}"
            )
        both = [scaler._seen() or scaler._make() for scaler in (self, other)]
        new = both[0].merge(both[1])
        if new.columns >= 0:
            self._core = new
        return self

    def to_json(self) -> str:
        """The fitted scaler as text that C++, the command and `from_json` read; every number comes
        back as the same bits."""
        return self._fitted().to_json()

    def save(self, path) -> None:
        """Writes to_json() into a file, in one step: a reader, or a kill, sees the old file or the
        new. `load_scaler` reads it. Raises OSError."""
        self._fitted().save(os.fsencode(path))

    def get_feature_names_out(self, input_features=None):
        """The columns' names, as they came in; "x0", "x1", ... where they had none."""
        core = self._fitted()
        return names_out(self, core.columns, self._names(core), input_features)

    def set_output(self, *, transform=None):
        """What transform returns: "default" (an array), "pandas" or "polars"; None: as before."""
        if transform is not None:
            _output.check(transform)
            self._sklearn_output_config = {"transform": transform}
        return self

    @property
    def n_features_in_(self) -> int:
        """How many columns fit saw."""
        return self._fitted().columns

    @property
    def feature_names_in_(self):
        """The column names that fit saw, [columns]. AttributeError where it saw none."""
        names = self._names(self._fitted())
        if names is None:
            raise AttributeError(
                f"{type(self).__name__} object has no attribute 'feature_names_in_': it was fitted "
                "without column names"
            )
        return names

    @property
    def constant_(self):
        """[columns], True where the spread cannot be told from 0, and the scale is 1."""
        return self._fitted().constant


class _WeightedScaler(_Scaler):
    def fit(self, X, y=None, sample_weight=None):
        """Forgets what was fitted, and fits on X [rows, columns]: see transform for what X may be.

        NaN, and null in Arrow tables, is a missing value and left out. sample_weight [rows], >= 0:
        how often the row counts; fractions are allowed, 0 leaves the row out. y is not used.
        Raises ValueError for an infinity (unless infinite="ignore"), naming row and column, and for
        X without rows.
        """
        return self._take(X, sample_weight, None, whole=True)

    def partial_fit(self, X, y=None, sample_weight=None):
        """More rows, at least 0, for the same columns: arguments as fit's. Any split of the rows
        into calls gives the same result, to 1e-12 relative."""
        return self._take(X, sample_weight, self._seen())


class ZScoreScaler(_WeightedScaler):
    """y = (x - mean) / standard deviation, for every column: scikit-learn's StandardScaler.

    Means and squared deviations are kept as two doubles each, and merged by the formula of Chan,
    Golub and LeVeque (1979), so that rows in any number of partial_fit calls or merged scalers
    give the exact result to 1e-12. A column is constant, and its scale 1, where the standard
    deviation is at most 2**-98 of the mean, or 2**-500 (of a sum of weights w far below 1: about
    2**-511 / sqrt(w)).

    copy: False lets transform write into its argument. with_mean, with_std: whether transform
    subtracts the mean, and divides by the standard deviation. variance: "biased", divided by n
    (scikit-learn's), or "unbiased", by n - 1. infinite: "error", or "ignore" to leave infinities
    out of fit.
    """

    _kind = "z_score"

    def __init__(
        self, *, copy=True, with_mean=True, with_std=True, variance="biased", infinite="error"
    ):
        self.copy = copy
        self.with_mean = with_mean
        self.with_std = with_std
        self.variance = variance
        self.infinite = infinite

    def _make(self):
        return native.z_score(
            variance=self.variance,
            with_mean=bool(self.with_mean),
            with_std=bool(self.with_std),
            infinite=self.infinite,
        )

    @property
    def mean_(self):
        """[columns]; None where neither with_mean nor with_std."""
        return self._fitted().means if self.with_mean or self.with_std else None

    @property
    def var_(self):
        """[columns]; None without with_std. NaN where there are too few values."""
        return self._fitted().variances if self.with_std else None

    @property
    def scale_(self):
        """[columns], what transform divides by; None without with_std."""
        return self._fitted().scales if self.with_std else None

    @property
    def n_samples_seen_(self):
        """The sum of weights of the values that were not missing: one number, or [columns] where
        columns differ. A whole number where weights were."""
        counts = self._fitted().counts
        if np.all(counts == np.trunc(counts)) and np.all(counts < 2.0**63):
            counts = counts.astype(np.int64)
        return counts[0] if np.all(counts == counts[0]) else counts


class MinMaxScaler(_WeightedScaler):
    """Every column brought into feature_range: scikit-learn's MinMaxScaler.

    y = (x - minimum) / (maximum - minimum) * (high - low) + low. In float64 no fitted value leaves
    the range by rounding. A column is constant where its range is 0, or so small that the factor
    overflows; the range counts as 1 then. One so large that the factor is below 2**-1022 is an
    error of fit.

    feature_range: (low, high). copy: False lets transform write into its argument. clip: whether
    transform brings values beyond the fitted ones to the range's ends, in float64; of float32 they
    are rounded. infinite: "error", or "ignore" to leave infinities out of fit.
    """

    _kind = "min_max"

    def __init__(self, feature_range=(0, 1), *, copy=True, clip=False, infinite="error"):
        self.feature_range = feature_range
        self.copy = copy
        self.clip = clip
        self.infinite = infinite

    def _make(self):
        low, high = self.feature_range
        return native.min_max(
            low=float(low), high=float(high), clip=bool(self.clip), infinite=self.infinite
        )

    @classmethod
    def _from_options(cls, options):
        low, high = options.pop("low"), options.pop("high")
        return {"feature_range": (low, high), **options}

    @property
    def data_min_(self):
        """[columns], NaN where all values were missing."""
        return self._fitted().minima

    @property
    def data_max_(self):
        """[columns], NaN where all values were missing."""
        return self._fitted().maxima

    @property
    def data_range_(self):
        """[columns], data_max_ - data_min_."""
        core = self._fitted()
        return core.maxima - core.minima

    @property
    def scale_(self):
        """[columns], what transform multiplies by."""
        low, high = self.feature_range
        return (float(high) - float(low)) / self._fitted().scales

    @property
    def min_(self):
        """[columns], what transform adds to x * scale_."""
        return float(self.feature_range[0]) - self._fitted().minima * self.scale_

    @property
    def n_samples_seen_(self) -> int:
        """Rows that fit saw, whatever their weights."""
        return self._fitted().rows


class RunningScaler(_Scaler):
    """z-score with exponential forgetting, for streams: a value i rows old has the weight
    (1 - alpha)**i, as in pandas' ewm with adjust=True.

    A missing value leaves its column as it is, age included. Any split of the rows into partial_fit
    calls gives the same bits. It cannot be merged: what is forgotten depends on the order of rows.
    For the same reason there are no sample weights.

    alpha: the weight that a value loses with every later row, 0 < alpha < 1; `alpha_of_half_life`
    computes one. variance, infinite, copy: as ZScoreScaler's.
    """

    _kind = "running"

    def __init__(self, alpha=0.01, *, copy=True, variance="biased", infinite="error"):
        self.alpha = alpha
        self.copy = copy
        self.variance = variance
        self.infinite = infinite

    def _make(self):
        return native.running(
            alpha=float(self.alpha), variance=self.variance, infinite=self.infinite
        )

    def fit(self, X, y=None):
        """Forgets what was fitted, and fits on the rows of X [rows, columns], the oldest first.
        Otherwise as ZScoreScaler.fit."""
        return self._take(X, None, None, whole=True)

    def partial_fit(self, X, y=None):
        """More rows, newer than all before."""
        return self._take(X, None, self._seen())

    def merge(self, other):
        """Raises Error: see the class."""
        return super().merge(other)

    @property
    def mean_(self):
        """[columns]"""
        return self._fitted().means

    @property
    def var_(self):
        """[columns], NaN where there are too few values."""
        return self._fitted().variances

    @property
    def scale_(self):
        """[columns], what transform divides by."""
        return self._fitted().scales

    @property
    def n_samples_seen_(self) -> int:
        """Rows that fit saw."""
        return self._fitted().rows


_CLASSES = {cls._kind: cls for cls in (ZScoreScaler, MinMaxScaler, RunningScaler)}


def _of(core) -> _Scaler:
    cls = _CLASSES[core.kind]
    scaler = cls(**cls._from_options(core.options))
    if core.columns >= 0:
        scaler._core = core
    return scaler


def from_json(text: str) -> ZScoreScaler | MinMaxScaler | RunningScaler:
    """The scaler that to_json(), C++ or the command wrote. Raises Error for text that is no such
    thing, cut short, of another version, or whose numbers cannot be: it says where."""
    return _of(native.load(text))


def load_scaler(path) -> ZScoreScaler | MinMaxScaler | RunningScaler:
    """The scaler in a file. Raises OSError, and Error as from_json does, with the path."""
    return _of(native.read(os.fsencode(path)))
