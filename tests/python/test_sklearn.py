"""The scalers beside scikit-learn's: its own checks, its numbers, its tools."""

import os

os.environ["SCIPY_ARRAY_API"] = "1"  # before scipy is imported: one check asks for it

import pickle
import warnings

import numpy as np
import omninorm
import pytest
from sklearn import config_context, datasets, preprocessing
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import check_is_fitted

SCALERS = [omninorm.ZScoreScaler, omninorm.MinMaxScaler, omninorm.RunningScaler]
VARIANTS = [
    *(cls() for cls in SCALERS),
    omninorm.ZScoreScaler(with_mean=False, variance="unbiased"),
    omninorm.ZScoreScaler(with_std=False),
    omninorm.MinMaxScaler((-3, 7), clip=True),
    omninorm.RunningScaler(0.5, infinite="ignore"),
]
DATA = ["iris", "wine", "breast_cancer", "diabetes", "digits"]


@pytest.mark.parametrize("scaler", VARIANTS, ids=repr)
@pytest.mark.filterwarnings("ignore:Estimator .* does not inherit")
def test_check_estimator(scaler):
    """All of them: none is expected to fail, none is skipped."""
    results = check_estimator(scaler, on_skip=None, on_fail="raise")
    assert len(results) > 40 and {r["status"] for r in results} == {"passed"}


# Of scikit-learn's own transformers, which check_estimator does not yield for others.
FURTHER = [
    "check_dataframe_column_names_consistency",
    "check_fit1d",
    "check_get_feature_names_out_error",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_inplace_ensure_writeable",
    "check_n_features_in",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
]


@pytest.mark.parametrize("check", FURTHER)
@pytest.mark.parametrize("cls", SCALERS)
@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names")
def test_further_checks(cls, check):
    getattr(estimator_checks, check)(cls.__name__, cls())


def load(name):
    return getattr(datasets, f"load_{name}")().data


def close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("options", [{}, {"with_mean": False}, {"with_std": False}], ids=str)
def test_z_scores_are_standard_scalers(name, options):
    x = load(name)
    ours = omninorm.ZScoreScaler(**options).fit(x)
    theirs = preprocessing.StandardScaler(**options).fit(x)
    for attribute in ("mean_", "var_", "scale_"):
        got, expected = getattr(ours, attribute), getattr(theirs, attribute)
        assert (got is None) == (expected is None), attribute
        if expected is not None:
            close(got, expected)
    assert ours.n_samples_seen_ == theirs.n_samples_seen_ == len(x)
    y = ours.transform(x)
    close(y, theirs.transform(x))
    close(ours.inverse_transform(y), theirs.inverse_transform(y))


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("options", [{}, {"feature_range": (-3, 7.5), "clip": True}], ids=str)
def test_min_max_is_theirs(name, options):
    x = load(name)
    half = len(x) // 2
    ours = omninorm.MinMaxScaler(**options).fit(x[:half])
    theirs = preprocessing.MinMaxScaler(**options).fit(x[:half])
    for attribute in ("data_min_", "data_max_", "data_range_", "scale_", "min_"):
        close(getattr(ours, attribute), getattr(theirs, attribute))
    assert ours.n_samples_seen_ == theirs.n_samples_seen_ == half
    y = ours.transform(x)  # with values beyond those fitted
    close(y, theirs.transform(x))
    close(ours.inverse_transform(y), theirs.inverse_transform(y))


@pytest.mark.parametrize("name", DATA)
def test_weights_and_missing_values_are_theirs(name):
    x = load(name).astype(np.float64)
    random = np.random.default_rng(1)
    x[random.random(x.shape) < 0.1] = np.nan
    weight = random.integers(0, 4, len(x)) / 2
    ours, theirs = omninorm.ZScoreScaler(), preprocessing.StandardScaler()
    close(ours.fit_transform(x), theirs.fit_transform(x))
    np.testing.assert_array_equal(ours.n_samples_seen_, theirs.n_samples_seen_)
    close(
        ours.fit(x, sample_weight=weight).transform(x),
        theirs.fit(x, sample_weight=weight).transform(x),
    )
    close(ours.n_samples_seen_, theirs.n_samples_seen_)
    close(omninorm.MinMaxScaler().fit_transform(x), preprocessing.MinMaxScaler().fit_transform(x))


def test_float32_stays():
    x = load("wine").astype(np.float32)
    for ours, theirs in (
        (omninorm.ZScoreScaler(), preprocessing.StandardScaler()),
        (omninorm.MinMaxScaler(), preprocessing.MinMaxScaler()),
    ):
        got, expected = ours.fit_transform(x), theirs.fit_transform(x)
        assert got.dtype == expected.dtype == np.float32
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_chunks_at_a_large_mean():
    """Where scikit-learn's partial_fit loses the variance, ours is that of exact arithmetic."""
    x = 1e9 + np.random.default_rng(2).normal(size=(1000, 1))
    ours = omninorm.ZScoreScaler()
    for row in x:
        ours.partial_fit(row[None])
    exact = np.var((x - 1e9).astype(np.longdouble))
    assert abs(float(ours.var_[0] / exact) - 1) < 1e-12


@pytest.mark.parametrize("cls", SCALERS)
def test_pipelines_searches_and_clones(cls):
    data = datasets.load_iris()
    pipeline = make_pipeline(cls(), LogisticRegression())
    assert pipeline.fit(data.data, data.target).score(data.data, data.target) > 0.9
    assert cls.__name__ in pipeline._repr_html_()
    name = cls.__name__.lower()
    search = GridSearchCV(pipeline, {f"{name}__copy": [True, False]}, n_jobs=2, cv=2)
    assert search.fit(data.data, data.target).best_score_ > 0.8
    columns = ColumnTransformer([("some", cls(), [0, 2])], remainder="passthrough")
    np.testing.assert_array_equal(
        columns.fit_transform(data.data)[:, :2], cls().fit_transform(data.data[:, [0, 2]])
    )
    scaler = cls(infinite="ignore").fit(data.data)
    fresh = clone(scaler)
    assert fresh.get_params() == scaler.get_params()
    with pytest.raises(NotFittedError):
        check_is_fitted(fresh)
    check_is_fitted(scaler)


@pytest.mark.parametrize("cls", SCALERS)
def test_a_column_transformer_of_data_frames(cls):
    frame = datasets.load_iris(as_frame=True).data
    columns = ColumnTransformer([("some", cls(), list(frame.columns[:2]))])
    with config_context(transform_output="pandas"):
        out = columns.fit_transform(frame)
    assert list(out.columns) == [f"some__{name}" for name in frame.columns[:2]]
    assert (out.index == frame.index).all()
    columns.set_output(transform="polars")
    assert columns.fit_transform(frame).columns == list(out.columns)


@pytest.mark.parametrize("cls", SCALERS)
def test_the_error_before_fit(cls):
    with pytest.raises(NotFittedError, match=f"{cls.__name__} instance is not fitted") as caught:
        cls().transform([[1.0]])
    assert isinstance(caught.value, omninorm.NotFittedError)
    back = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(back, omninorm.NotFittedError) and back.args == caught.value.args
    assert not hasattr(cls(), "n_features_in_") and not hasattr(cls(), "scale_")


def test_no_warning_without_a_reason():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = load("wine")
        omninorm.ZScoreScaler().fit(x).inverse_transform(x)
        frame = datasets.load_wine(as_frame=True).data
        omninorm.MinMaxScaler().fit(frame).inverse_transform(frame.to_numpy())
