"""What NumPy arrays and data frames go in, and what comes out."""

import copy
import pickle

import numpy as np
import omninorm
import pandas as pd
import pyarrow as pa
import pytest
from omninorm import _scalers
from scalers import assert_same, close, state

SCALERS = [omninorm.ZScoreScaler, omninorm.MinMaxScaler, omninorm.RunningScaler]


@pytest.fixture(params=SCALERS, ids=lambda cls: cls.__name__)
def cls(request):
    return request.param


def table(rows=70, columns=5, dtype=np.float64):
    return np.random.default_rng(0).normal(3, 2, (rows, columns)).astype(dtype)


def layouts(x):
    """x in memory in every way."""
    rows, columns = x.shape
    yield "C", np.ascontiguousarray(x)
    yield "F", np.asfortranarray(x)
    spread = np.full((2 * rows, 3 * columns), np.nan, x.dtype)
    spread[::2, 1::3] = x
    yield "strided", spread[::2, 1::3]
    yield "reversed", np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1]
    yield "swapped", x.astype(x.dtype.newbyteorder("S"))
    raw = np.empty(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    raw[:] = x
    yield "unaligned", raw
    record = np.zeros(rows, [("flag", "i1"), ("x", x.dtype, (columns,))])
    record["x"] = x
    yield "field", record["x"]
    fixed = np.ascontiguousarray(x)
    fixed.flags.writeable = False
    yield "read-only", fixed


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=str)
def test_every_layout(cls, dtype):
    x = table(dtype=dtype)
    expected = cls().fit(x)
    y = expected.transform(x)
    assert y.dtype == dtype and y.shape == x.shape
    for name, array in layouts(x):
        before = array.copy()
        scaler = cls().fit(array)
        assert_same(scaler, expected)
        got = scaler.transform(array)
        assert got.dtype == dtype, name
        close(got, y)
        back = scaler.inverse_transform(got)
        np.testing.assert_allclose(back, x, rtol=1e-5 if dtype == np.float32 else 1e-13)
        np.testing.assert_array_equal(array, before, name)


def test_fortran_order_stays(cls):
    x = np.asfortranarray(table())
    assert cls().fit_transform(x).flags.f_contiguous
    assert cls().fit_transform(np.ascontiguousarray(x)).flags.c_contiguous


@pytest.mark.parametrize("kind", ["i1", "u2", "i8", "?", "O", "g", "U8"])
def test_other_types_are_float64(cls, kind):
    x = table(20, 3).round().clip(0, 1).astype(int).astype(kind)
    x[:3] = np.eye(3, dtype=int).astype(kind)
    y = cls().fit_transform(x)
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, cls().fit_transform(x.astype(int).astype(float)))


def test_half(cls):
    x = table(dtype=np.float16)
    y = cls().fit_transform(x)
    assert y.dtype == np.float16
    wide = cls().fit_transform(x.astype(np.float32))
    np.testing.assert_array_equal(y, wide.astype(np.float16))


def test_lists_and_masked_arrays(cls):
    assert cls().fit_transform([[1, 2], [3, 5]]).dtype == np.float64
    x = table()
    mask = np.random.default_rng(1).random(x.shape) < 0.2
    hole = np.where(mask, np.nan, x)
    masked = np.ma.masked_array(x, mask)
    np.testing.assert_array_equal(cls().fit_transform(masked), cls().fit_transform(hole))


def test_in_place(cls):
    for _, array in layouts(table()):
        if not array.flags.writeable or not array.flags.aligned or not array.dtype.isnative:
            continue
        if array.strides[0] % 8:
            continue  # a field of a packed record: no whole elements apart
        scaler = cls(copy=False).fit(array)
        expected = scaler.transform(array, copy=True)
        y = scaler.transform(array)
        assert np.shares_memory(y, array)
        np.testing.assert_array_equal(y, expected)
        assert np.shares_memory(scaler.inverse_transform(y), array)
    fixed = table()
    fixed.flags.writeable = False
    before = fixed.copy()
    assert not np.shares_memory(cls(copy=False).fit_transform(fixed), fixed)
    np.testing.assert_array_equal(fixed, before)


def test_missing_and_infinite_values(cls):
    x = table()
    x[3, 1] = np.nan
    y = cls().fit_transform(x)
    assert np.isnan(y[3, 1]) and np.isnan(y).sum() == 1
    x[5, 2] = -np.inf
    scaler = cls().fit(table())
    before = scaler.to_json()
    with pytest.raises(ValueError, match=r"expected finite values.* got -inf in row 5, column 2"):
        scaler.partial_fit(x)
    with pytest.raises(ValueError, match="row 5, column 2"):
        scaler.fit(x)
    assert scaler.to_json() == before
    assert scaler.transform(x)[5, 2] == -np.inf
    ignoring = cls(infinite="ignore").fit(x)
    x[5, 2] = np.nan
    assert state(cls(infinite="ignore").fit(x)) == state(ignoring)


def test_an_all_nan_column(cls):
    x = table()
    x[:, 1] = np.nan
    scaler = cls().fit(x)
    assert np.isnan(scaler.scale_[1]) and not np.isnan(scaler.scale_[[0, 2, 3, 4]]).any()
    assert np.isnan(scaler.transform(table())[:, 1]).all()


def test_constant_columns(cls):
    x = table()
    x[:, 2] = 7
    scaler = cls().fit(x)
    assert list(scaler.constant_) == [False, False, True, False, False]
    assert (scaler.transform(x)[:, 2] == 0).all()


def test_one_row(cls):
    scaler = cls().fit([[3.0, -4.0]])
    np.testing.assert_array_equal(scaler.transform([[3.0, -4.0]]), [[0, 0]])
    assert scaler.constant_.all() and scaler.n_samples_seen_ == 1


def test_no_rows(cls):
    empty = np.empty((0, 5))
    with pytest.raises(ValueError, match=r"0 sample\(s\) \(shape=\(0, 5\)\).* minimum of 1"):
        cls().fit(empty)
    scaler = cls().fit(table())
    before = state(scaler)
    assert state(scaler.partial_fit(empty)) == before
    assert scaler.transform(empty).shape == (0, 5)
    assert state(cls().partial_fit(empty).partial_fit(table())) == before


@pytest.mark.parametrize(
    ("x", "error", "match"),
    [
        (np.ones(3), ValueError, "Expected 2D array, got 1D array.*Reshape your data"),
        (np.float64(3), ValueError, "Expected 2D array, got scalar array"),
        (np.ones((2, 2, 2)), ValueError, "Found array with dim 3"),
        (np.ones((3, 0)), ValueError, r"0 feature\(s\) \(shape=\(3, 0\)\)"),
        (np.ones((3, 2), complex), ValueError, "Complex data not supported"),
        (np.zeros((3, 2), "M8[s]"), TypeError, "expected numbers, got dtype datetime64"),
        ([["1.5", "x"]], ValueError, "could not convert string to float: .*'x'"),
        ([[1, {}]], TypeError, "float.. argument must be a string or a real number"),
        ([[1, 2], [3]], ValueError, "inhomogeneous"),
        (None, ValueError, "Expected 2D array"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_is_refused(cls, x, error, match):
    with pytest.raises(error, match=f"(?s){match}"):
        cls().fit(x)


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_matrices_are_refused(cls):
    with pytest.raises(TypeError, match="np.matrix is not supported"):
        cls().fit(np.matrix([[1.0]]))


def test_wrong_columns(cls):
    scaler = cls().fit(table())
    for call in (scaler.transform, scaler.inverse_transform, scaler.partial_fit):
        with pytest.raises(ValueError, match=r"X has 4 features, but \w+ is expecting 5 features"):
            call(table(columns=4))


def test_the_module_measures_the_weights_itself():
    """It cuts them into the rows of its steps, whoever calls it."""
    core = omninorm.ZScoreScaler().fit(table())._core
    batch = pa.table({str(j): c for j, c in enumerate(table().T)})
    for wrong in (np.ones(3), np.ones(71), np.ones((70, 1)), np.float64(1)):
        weight = np.asarray(wrong)
        with pytest.raises(omninorm.Error, match="expected 70 sample_weights"):
            core.partial_fit(table(), weight, [], "")
        with pytest.raises(omninorm.Error, match="expected .*sample_weight"):
            core.partial_fit_arrow(_scalers.ArrowTable(batch), weight, [], "")


@pytest.mark.parametrize(
    ("weight", "match"),
    [
        (np.ones(3), r"sample_weight.shape == \(3,\), expected \(70,\)"),
        (np.ones((70, 1)), "must be 1D array or scalar"),
        (np.r_[np.ones(69), -1], r"finite weights >= 0, got -1 for row 69"),
        (np.r_[np.nan, np.ones(69)], "for row 0"),
        (np.zeros(70), "at least one non-zero"),
    ],
    ids=["short", "2D", "negative", "nan", "zeros"],
)
@pytest.mark.parametrize("weighted", SCALERS[:2], ids=lambda c: c.__name__)
def test_wrong_weights(weighted, weight, match):
    with pytest.raises(ValueError, match=match):
        weighted().fit(table(), sample_weight=weight)


@pytest.mark.parametrize(
    ("scaler", "match"),
    [
        (
            omninorm.ZScoreScaler(variance="none"),
            r"\[z_score_scaler\] expected variance .*\"none\"",
        ),
        (omninorm.MinMaxScaler((1, 1)), "low < high of finite numbers, got 1 to 1"),
        (omninorm.RunningScaler(0), "expected 0 < alpha < 1, got 0"),
        (omninorm.MinMaxScaler(infinite="skip"), 'infinite to be "error" or "ignore", got "skip"'),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_wrong_parameters(scaler, match):
    with pytest.raises(omninorm.Error, match=match):
        scaler.fit(table())
    assert issubclass(omninorm.Error, ValueError)


def test_parameters_set_after_fit():
    x = table()
    z = omninorm.ZScoreScaler().fit(x).set_params(with_mean=False, variance="unbiased")
    expected = omninorm.ZScoreScaler(with_mean=False, variance="unbiased").fit(x)
    assert state(z) == state(expected)
    np.testing.assert_array_equal(z.transform(x), expected.transform(x))
    clipped = omninorm.MinMaxScaler().fit(x[:9]).set_params(clip=True, feature_range=(2, 3))
    np.testing.assert_array_equal(
        clipped.transform(x), omninorm.MinMaxScaler((2, 3), clip=True).fit(x[:9]).transform(x)
    )
    with pytest.raises(ValueError, match="Invalid parameter 'mean' .* Valid parameters are"):
        z.set_params(mean=True)


def test_repr():
    assert repr(omninorm.ZScoreScaler()) == "ZScoreScaler()"
    assert repr(omninorm.MinMaxScaler((0, 2), clip=True)) == (
        "MinMaxScaler(clip=True, feature_range=(0, 2))"
    )


def test_copies_do_not_share_what_comes_later(cls):
    scaler = cls().fit(table())
    before = scaler.to_json()
    for twin in (copy.copy(scaler), copy.deepcopy(scaler), pickle.loads(pickle.dumps(scaler))):
        assert twin.to_json() == before
        twin.partial_fit(table(9))
        assert scaler.to_json() == before != twin.to_json()


def test_merge(cls):
    x = table()
    a, b = cls().fit(x[:20]), cls().fit(x[20:])
    if cls is omninorm.RunningScaler:
        with pytest.raises(omninorm.Error, match="depends on the order of rows"):
            a.merge(b)
        return
    ab, ba = copy.copy(a).merge(b), copy.copy(b).merge(a)
    assert state(ab) == state(ba)
    np.testing.assert_allclose(ab.scale_, cls().fit(x).scale_, rtol=1e-12)
    assert state(cls().merge(a)) == state(copy.copy(a).merge(cls())) == state(a)
    with pytest.raises(TypeError, match="expected another"):
        a.merge(omninorm.RunningScaler())
    with pytest.raises(omninorm.Error, match="same options"):
        a.merge(cls(infinite="ignore").fit(x))
    with pytest.raises(omninorm.Error, match="5 columns"):
        a.merge(cls().fit(x[:, :3]))
    with pytest.raises(omninorm.NotFittedError):
        cls().merge(cls()).transform(x)


def test_pandas(cls):
    x = table()
    frame = pd.DataFrame(x, columns=list("abcde"))
    scaler = cls().fit(frame)
    assert list(scaler.feature_names_in_) == list("abcde")
    close(scaler.transform(frame), cls().fit(x).transform(x))
    with pytest.raises(ValueError, match="must be in the same order"):
        scaler.transform(frame[list("bacde")])
    with pytest.raises(ValueError, match="unseen at fit time:\n- z\n.*now missing:\n- e"):
        scaler.transform(frame.rename(columns={"e": "z"}))
    with pytest.raises(ValueError, match="now missing:\n- e"):
        scaler.transform(frame[list("abcd")])
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        scaler.transform(x)
    with pytest.warns(UserWarning, match="fitted without feature names"):
        cls().fit(x).transform(frame)
    with pytest.raises(TypeError, match="all input features have string names"):
        cls().fit(frame.rename(columns={"e": 4}))
    twin = omninorm.from_json(scaler.to_json())
    assert list(twin.get_feature_names_out()) == list("abcde")
    assert not hasattr(cls().fit(x), "feature_names_in_")


def test_pandas_own_types(cls):
    x = table(30, 3).round()
    frame = pd.DataFrame(x, columns=list("abc")).astype({"a": "Float64", "b": "Int32"})
    frame.loc[4, ["a", "b"]] = pd.NA
    x[4, :2] = np.nan
    close(cls().fit_transform(frame), cls().fit_transform(x))
