"""scikit-learn's estimator interface, without scikit-learn.

https://scikit-learn.org/stable/developers/develop.html; tests/python/test_sklearn.py runs
scikit-learn's own checks.
"""

import functools
import inspect
import sys
import warnings

import numpy as np


class NotFittedError(ValueError, AttributeError):
    """A scaler was asked for what only fit tells. Where scikit-learn is loaded, also its
    NotFittedError."""


@functools.cache
def _not_fitted_class(theirs):
    if theirs is None:
        return NotFittedError
    # What a worker process sends back is the class that can be found by name.
    members = {"__module__": "omninorm", "__reduce__": lambda self: (NotFittedError, self.args)}
    return type("NotFittedError", (NotFittedError, theirs), members)


def not_fitted(estimator) -> NotFittedError:
    theirs = getattr(sys.modules.get("sklearn.exceptions"), "NotFittedError", None)
    return _not_fitted_class(theirs)(
        f"This {type(estimator).__name__} instance is not fitted yet. Call 'fit' with appropriate "
        "arguments before using this estimator."
    )


class Estimator:
    """Parameters by name, and how it prints. Parameters are the constructor's arguments, kept as
    they are; what is wrong with them is said by fit."""

    @classmethod
    def _parameters(cls) -> dict:
        parameters = inspect.signature(cls.__init__).parameters.values()
        return {p.name: p.default for p in parameters if p.name != "self"}

    def get_params(self, deep: bool = True) -> dict:
        """The constructor's arguments by name. `deep` is scikit-learn's; nothing here is nested."""
        return {name: getattr(self, name) for name in sorted(self._parameters())}

    def set_params(self, **params):
        """Sets constructor arguments, and returns self. What was fitted stays."""
        for name in params:
            if name not in self._parameters():
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {self}. Valid parameters are: "
                    f"{sorted(self._parameters())}."
                )
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        shown = [
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if repr(value) != repr(self._parameters()[name])
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    def __sklearn_tags__(self):
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=["float64", "float32"]),
            input_tags=InputTags(allow_nan=True),
        )


def check_names(estimator, fitted, names) -> None:
    """Column names of a table beside those of fit: the same in the same order, where both have
    them."""
    who = type(estimator).__name__
    if fitted is None and names is None:
        return
    if fitted is None:
        warnings.warn(
            f"X has feature names, but {who} was fitted without feature names", stacklevel=4
        )
        return
    if names is None:
        warnings.warn(
            f"X does not have valid feature names, but {who} was fitted with feature names",
            stacklevel=4,
        )
        return
    if list(fitted) == list(names):
        return

    def listed(some):
        lines = [f"- {name}\n" for name in sorted(some)]
        return "".join(lines[:5] + ["- ...\n"] * (len(lines) > 5))

    unseen, missing = set(names) - set(fitted), set(fitted) - set(names)
    message = "The feature names should match those that were passed during fit.\n"
    if unseen:
        message += "Feature names unseen at fit time:\n" + listed(unseen)
    if missing:
        message += "Feature names seen at fit time, yet now missing:\n" + listed(missing)
    if not unseen and not missing:
        message += "Feature names must be in the same order as they were in fit.\n"
    raise ValueError(message)


def names_out(estimator, columns: int, fitted, input_features):
    """What get_feature_names_out returns: one name a column, as they came in."""
    if input_features is None:
        if fitted is not None:
            return fitted
        return np.asarray([f"x{j}" for j in range(columns)], dtype=object)
    names = np.asarray(input_features, dtype=object)
    if fitted is not None and not np.array_equal(fitted, names):
        raise ValueError("input_features is not equal to feature_names_in_")
    if len(names) != columns:
        raise ValueError(
            "input_features should have length equal to number of "
            f"features ({columns}), got {len(names)}"
        )
    return names
