"""What the tests of the scalers share."""

import re

import numpy as np


def state(scaler) -> str:
    """The fitted state to the bit, without where and when it was fitted."""
    return re.sub(r'"fitted_on": .*\n', "", scaler.to_json())


def assert_same(got, expected, rtol=1e-12):
    """The same scaler but for the order of sums, which is that of memory."""
    assert type(got) is type(expected) and got.get_params() == expected.get_params()
    np.testing.assert_array_equal(got.n_samples_seen_, expected.n_samples_seen_)
    np.testing.assert_array_equal(got.constant_, expected.constant_)
    for name in ("mean_", "var_", "scale_", "data_min_", "data_max_"):
        one, two = getattr(got, name, None), getattr(expected, name, None)
        if two is not None:
            np.testing.assert_allclose(one, two, rtol=rtol, atol=0, err_msg=name)


def close(got, expected):
    """Values of about 1, of two scalers that are the same but for the order of sums."""
    np.testing.assert_allclose(got, expected, 1e-6 if got.dtype == np.float32 else 1e-12, 1e-13)
