"""Properties against exact fractions and NumPy."""

import copy
import math
import pickle
from fractions import Fraction

import numpy as np
import omninorm
import pandas as pd
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scalers import state

settings.register_profile("here", deadline=None, max_examples=100, derandomize=True)
settings.load_profile("here")

# A mean of any size and a spread beside it, down to 1e-9 of the mean.
offsets = st.sampled_from([0.0, 1.0, -3.5, 1e6, -1e9])
spreads = st.sampled_from([1e-6, 1.0, 37.0, 1e8])


@st.composite
def tables(draw, least_rows=1):
    rows, columns = draw(st.integers(least_rows, 40)), draw(st.integers(1, 4))
    x = draw(hnp.arrays(np.int64, (rows, columns), elements=st.integers(-(2**40), 2**40)))
    return draw(offsets) + draw(spreads) * 2.0**-40 * x


@st.composite
def chunked(draw):
    """A table and cuts of its rows."""
    x = draw(tables(2))
    cuts = draw(st.lists(st.integers(0, len(x)), max_size=8))
    return x, np.split(x, sorted(cuts))


def exact_moments(column, weights=None):
    """Sum of weights, mean and sum of squared deviations as fractions."""
    values = [Fraction(v) for v in column.tolist()]
    weights = [
        Fraction(w) for w in (weights.tolist() if weights is not None else [1] * len(values))
    ]
    count = sum(weights)
    mean = sum(w * v for w, v in zip(weights, values)) / count
    return count, mean, sum(w * (v - mean) ** 2 for w, v in zip(weights, values))


def check_moments(scaler, x, weights=None):
    """The mean to the last bits of itself and of the values' distance from it, the variance to
    1e-12."""
    for j, column in enumerate(x.T):
        count, mean, squares = exact_moments(column, weights)
        off = abs(Fraction(float(scaler.mean_[j])) - mean)
        assert off <= Fraction(2.0**-52) * abs(mean) + Fraction(1e-14 * float(np.ptp(column)))
        exact = squares / count
        assert abs(Fraction(float(scaler.var_[j])) - exact) <= Fraction(1e-12) * exact


@given(chunked())
def test_any_chunks_give_the_exact_moments(case):
    x, parts = case
    scaler = omninorm.ZScoreScaler()
    for part in parts:
        scaler.partial_fit(part)
    assert scaler.n_samples_seen_ == len(x)
    check_moments(scaler, x)


@given(chunked(), st.randoms())
def test_any_tree_of_merges(case, random):
    x, parts = case
    scalers = [omninorm.ZScoreScaler().partial_fit(part) for part in parts]
    ranges = [omninorm.MinMaxScaler().partial_fit(part) for part in parts]
    while len(scalers) > 1:
        i, j = random.sample(range(len(scalers)), 2)
        for some in (scalers, ranges):
            a, b = some[i], some[j]
            ab = copy.copy(a).merge(b)
            assert state(ab) == state(copy.copy(b).merge(a))
            some[:] = [s for k, s in enumerate(some) if k not in (i, j)] + [ab]
    check_moments(scalers[0], x)
    assert scalers[0].n_samples_seen_ == len(x)
    np.testing.assert_array_equal(ranges[0].data_min_, x.min(0))
    np.testing.assert_array_equal(ranges[0].data_max_, x.max(0))


@given(tables(2), st.data())
def test_weights_are_frequencies(x, data):
    weight = data.draw(hnp.arrays(np.float64, len(x), elements=st.sampled_from([0, 0.5, 1, 2, 7])))
    assume(weight.any())
    scaler = omninorm.ZScoreScaler().fit(x, sample_weight=weight)
    check_moments(scaler, x, weight)
    assert scaler.n_samples_seen_ == weight.sum()


@given(tables())
def test_transform_is_what_the_attributes_say(x):
    z = omninorm.ZScoreScaler().fit(x)
    # x - mean is exact to one rounding of the mean; its size is the spread's.
    slack = 4 * np.spacing(np.abs(x).max(0)) / z.scale_
    assert (np.abs(z.transform(x) - (x - z.mean_) / z.scale_) <= slack + 1e-15).all()
    m = omninorm.MinMaxScaler((-1, 3)).fit(x)
    y = m.transform(x)
    assert y.min() >= -1 and y.max() <= 3
    slack = 16 * np.spacing(np.abs(x).max(0)) * m.scale_
    assert (np.abs(y - (x * m.scale_ + m.min_)) <= slack + 1e-14).all()


@given(tables(), st.sampled_from(["ZScoreScaler", "MinMaxScaler", "RunningScaler"]))
def test_inverse_of_transform(x, name):
    scaler = getattr(omninorm, name)().fit(x)
    back = scaler.inverse_transform(scaler.transform(x))
    bound = 8 * np.spacing(np.maximum(np.abs(x).max(0), np.ptp(x, 0)))
    assert (np.abs(back - x) <= bound).all()


@given(
    tables(),
    st.sampled_from([0.5, 1 / 3, 0.01, 1e-6]),
    st.lists(st.integers(0, 40), max_size=5),
)
def test_running_is_pandas_ewm(x, alpha, cuts):
    scaler = omninorm.RunningScaler(alpha)
    for part in np.split(x, sorted(cuts)):
        scaler.partial_fit(part)
    assert state(scaler) == state(omninorm.RunningScaler(alpha).fit(x))
    ewm = pd.DataFrame(x).ewm(alpha=alpha, adjust=True)
    size = np.abs(x).max(0)
    np.testing.assert_array_less(np.abs(scaler.mean_ - ewm.mean().iloc[-1]), 1e-13 * size + 1e-300)
    spread = np.ptp(x, 0)
    np.testing.assert_array_less(
        np.abs(scaler.var_ - ewm.var(bias=True).iloc[-1]),
        1e-12 * spread**2 + 1e-14 * spread * size + 1e-300,
    )


def test_half_life():
    alpha = omninorm.alpha_of_half_life(8)
    assert math.isclose((1 - alpha) ** 8, 0.5, rel_tol=1e-15)


@given(tables(), st.sampled_from(["ZScoreScaler", "MinMaxScaler", "RunningScaler"]))
def test_files_keep_every_bit(x, name):
    scaler = getattr(omninorm, name)(infinite="ignore").fit(x)
    text = scaler.to_json()
    for twin in (omninorm.from_json(text), pickle.loads(pickle.dumps(scaler))):
        assert twin.to_json() == text and twin.get_params() == scaler.get_params()
        np.testing.assert_array_equal(twin.transform(x), scaler.transform(x))


@given(tables(2), st.randoms())
def test_a_damaged_file_is_an_error_or_another_scaler(x, random):
    text = omninorm.ZScoreScaler().fit(x).to_json()
    at = random.randrange(len(text))
    for damaged in (text[:at], text[:at] + random.choice('0-"}e]') + text[at + 1 :]):
        try:
            other = omninorm.from_json(damaged)
        except omninorm.Error as error:
            assert str(error).startswith("[") and "expected" in str(error)
        else:
            assert isinstance(other.get_params(), dict)


@given(tables(), st.integers(1, 5))
def test_threads_change_no_bit(x, threads):
    many = np.tile(x, (400_000 // len(x) + 1, 4))  # several tasks, by rows too
    before = omninorm.get_num_threads()
    try:
        results = []
        for count in (1, threads + 1):
            omninorm.set_num_threads(count)
            scaler = omninorm.ZScoreScaler().fit(many)
            results.append((state(scaler), scaler.transform(many).tobytes()))
        assert results[0] == results[1]
    finally:
        omninorm.set_num_threads(before)
