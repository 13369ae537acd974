"""The command and Python read each other's scalers and arrays."""

import os
import subprocess

import numpy as np
import omninorm
import pandas as pd
import pytest
from scalers import assert_same, close

PROGRAM = os.environ["OMNINORM_BINARY"]
# Scaler, and the command's flags for it.
SCALERS = [
    (omninorm.ZScoreScaler(variance="unbiased"), ["--unbiased"]),
    (omninorm.MinMaxScaler((-1, 2), clip=True), "--kind min_max --range -1 2 --clip".split()),
    (omninorm.RunningScaler(0.25), "--kind running --alpha 0.25".split()),
]


def scale(*arguments):
    done = subprocess.run([PROGRAM, "scale", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def frame():
    x = np.random.default_rng(0).normal([5, 1e9, -3], [2, 1, 1e-3], (200, 3))
    x[7, 1] = np.nan
    return pd.DataFrame(x, columns=["a", "b c", "ü"])


@pytest.mark.parametrize(("scaler", "flags"), SCALERS, ids=lambda v: getattr(v, "_kind", ""))
def test_a_scaler_of_the_command(scaler, flags, frame, tmp_path):
    frame.to_csv(tmp_path / "x.csv", index=False)
    scale("fit", tmp_path / "x.csv", *flags, "-o", tmp_path / "s.json")
    fitted = omninorm.load_scaler(tmp_path / "s.json")
    assert_same(fitted, scaler.fit(frame))
    assert list(fitted.feature_names_in_) == list(frame.columns)
    scale("transform", tmp_path / "s.json", tmp_path / "x.csv", "-o", tmp_path / "y.csv")
    written = np.genfromtxt(tmp_path / "y.csv", delimiter=",", skip_header=1, encoding="utf-8")
    np.testing.assert_array_equal(written, fitted.transform(frame))


@pytest.mark.parametrize(("scaler", "flags"), SCALERS, ids=lambda v: getattr(v, "_kind", ""))
def test_a_scaler_of_python(scaler, flags, frame, tmp_path):
    x = frame.to_numpy()
    scaler.fit(x).save(tmp_path / "s.json")
    np.save(tmp_path / "x.npy", x)
    scale("transform", tmp_path / "s.json", tmp_path / "x.npy", "-o", tmp_path / "y.npy")
    y = np.load(tmp_path / "y.npy")
    np.testing.assert_array_equal(y, scaler.transform(x))
    scale("inverse", tmp_path / "s.json", tmp_path / "y.npy", "-o", tmp_path / "z.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "z.npy"), scaler.inverse_transform(y))
    assert "fitted on 200 rows of f64" in scale("show", tmp_path / "s.json")


@pytest.mark.parametrize(("scaler", "flags"), SCALERS[:2], ids=lambda v: getattr(v, "_kind", ""))
def test_parts_of_both_merge(scaler, flags, frame, tmp_path):
    frame[:80].to_csv(tmp_path / "x.csv", index=False)
    scale("fit", tmp_path / "x.csv", *flags, "-o", tmp_path / "a.json")
    scaler.fit(frame[80:]).save(tmp_path / "b.json")
    scale("merge", tmp_path / "a.json", tmp_path / "b.json", "-o", tmp_path / "ab.json")
    merged = omninorm.load_scaler(tmp_path / "ab.json")
    here = omninorm.load_scaler(tmp_path / "a.json").merge(scaler)
    assert_same(merged, here, 0)
    close(merged.transform(frame), scaler.fit(frame).transform(frame))
