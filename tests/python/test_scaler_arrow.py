"""Tables by the Arrow C data interface."""

import re
import subprocess
import sys

import numpy as np
import omninorm
import polars as pl
import pyarrow as pa
import pytest
from scalers import assert_same, close

SCALERS = [omninorm.ZScoreScaler, omninorm.MinMaxScaler, omninorm.RunningScaler]


@pytest.fixture(params=SCALERS, ids=lambda cls: cls.__name__)
def cls(request):
    return request.param


def matrix(rows=70, columns=4, dtype=np.float64):
    return np.random.default_rng(0).normal(3, 2, (rows, columns)).astype(dtype)


def arrow(x, names="abcdefgh", **kinds):
    columns = {name: x[:, j].copy() for j, name in enumerate(names[: x.shape[1]])}
    return pa.table(
        {
            name: pa.array(c).cast(kinds.get(name, pa.from_numpy_dtype(c.dtype)))
            for name, c in columns.items()
        }
    )


class Batch:
    """Speaks __arrow_c_array__ alone."""

    def __init__(self, batch):
        self.batch = batch

    def __arrow_c_array__(self, requested_schema=None):
        return self.batch.__arrow_c_array__(requested_schema)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=str)
def test_tables_are_arrays(cls, dtype):
    x = matrix(dtype=dtype)
    expected = cls().fit(x)
    y = expected.transform(x)
    table = arrow(x)
    for source in (
        table,
        table.to_batches()[0],
        Batch(table.to_batches()[0]),
        pl.DataFrame(x, schema=list("abcd")),
        pl.from_arrow(table),
    ):
        scaler = cls().fit(source)
        assert_same(scaler, expected)
        assert list(scaler.feature_names_in_) == list("abcd")
        got = scaler.transform(source)
        assert got.dtype == dtype and got.flags.f_contiguous
        close(got, y)
        close(scaler.inverse_transform(arrow(got)), expected.inverse_transform(y))
        close(cls().fit_transform(source), y)


def test_batches(cls):
    """Many small ones, empty ones, slices: the same as partial_fit of the parts."""
    x = matrix(1000)
    table = pa.concat_tables(
        [arrow(x[a:b]) for a, b in ((0, 1), (1, 1), (1, 300), (300, 999), (999, 1000))]
    )
    assert table.column(0).num_chunks == 5
    parts = cls()
    for a, b in ((0, 1), (1, 300), (300, 999), (999, 1000)):
        parts.partial_fit(x[a:b])
    scaler = cls().fit(table)
    assert_same(scaler, parts)
    close(scaler.transform(table), scaler_of_arrays(scaler).transform(x))
    part = arrow(x).slice(37, 501)
    assert_same(cls().fit(part), cls().fit(x[37:538]))


def scaler_of_arrays(scaler):
    """The same scaler without column names, so that arrays give no warning."""
    text = re.sub(r'"column_names": ?\[.*?\]', '"column_names": []', scaler.to_json())
    return omninorm.from_json(text)


def test_nulls_are_missing(cls):
    for dtype in (np.float32, np.float64):
        x = matrix(200, 3, dtype)
        hole = np.random.default_rng(1).random(x.shape) < 0.3
        hole[:, 2] = False
        x[hole] = np.nan
        table = pa.table(
            {
                name: pa.array(x[:, j], mask=hole[:, j] if hole[:, j].any() else None)
                for j, name in enumerate("abc")
            }
        )
        assert table.column("a").null_count and not table.column("c").null_count
        for source, rows in ((table, slice(0, 200)), (table.slice(9, 101), slice(9, 110))):
            scaler = cls().fit(source)
            assert_same(scaler, cls().fit(x[rows]))
            y = scaler.transform(source)
            assert y.dtype == dtype
            close(y, cls().fit_transform(x[rows]))
        # A null is not the value that lies beneath it.
        beneath = pa.Array.from_buffers(
            pa.float64(), 3, [pa.py_buffer(b"\x05"), pa.py_buffer(np.array([1.0, 1e300, 4.0]))]
        )
        assert cls().fit(pa.table({"a": beneath})).n_samples_seen_ in (2, 3)
        close(
            cls().fit_transform(pa.table({"a": beneath})), cls().fit_transform([[1], [np.nan], [4]])
        )


def test_null_rows_of_a_struct(cls):
    rows = pa.StructArray.from_arrays(
        [pa.array([1.0, 2.0, 4.0]), pa.array([1.0, 5.0, None])],
        names=["a", "b"],
        mask=pa.array([False, True, False]),
    )
    expected = cls().fit_transform([[1, 1], [np.nan, np.nan], [4, np.nan]])
    close(cls().fit_transform(Batch(rows)), expected)
    close(cls().fit(Batch(rows)).transform(Batch(rows[1:])), expected[1:])


@pytest.mark.parametrize(
    "kind",
    ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool_", "float16"],
)
def test_other_numbers(cls, kind):
    arrow_type = getattr(pa, kind)()
    values = np.array([1, 0, 1, 1, 0, 1, 0, 0, 0, 1, 1, 0, 1, 1, 1, 0, 1.0])
    if kind not in ("bool_",):
        values[3:] *= 7
    numbers = values.astype(np.float16 if kind == "float16" else np.float64)
    column = pa.array(numbers).cast(arrow_type)
    holed = pa.concat_arrays([pa.nulls(2, arrow_type), column])
    table = pa.table({"a": holed, "b": pa.nulls(len(holed))}).slice(1)
    expected = np.full((len(holed) - 1, 2), np.nan)
    expected[1:, 0] = values
    scaler = cls().fit(table)
    assert_same(scaler, cls().fit(expected))
    got = scaler.transform(table)
    assert got.dtype == np.float64
    close(got, cls().fit_transform(expected))


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32()], ids=str)
def test_batches_without_rows_keep_their_type(cls, kind):
    some = arrow(matrix(dtype=np.float32), a=kind, b=kind, c=kind, d=kind).to_batches()
    none = [batch.slice(0, 0) for batch in some]
    empty = pa.record_batch([pa.array([], kind)] * 4, names=list("abcd"))
    table = pa.Table.from_batches([empty, *none, *some, empty])
    scaler = cls().fit(table)
    assert '"dtype":"f32"' in scaler.to_json().replace(" ", "")
    assert_same(scaler, cls().fit(pa.Table.from_batches(some)))
    assert scaler.transform(table).dtype == np.float32


def test_mixed_widths(cls):
    x = matrix(50, 3, np.float32)
    table = arrow(x, b=pa.float64())
    scaler = cls().fit(table)
    assert scaler.transform(table).dtype == np.float64
    assert '"dtype":"mixed"' in scaler.to_json().replace(" ", "")
    assert_same(scaler, cls().fit(x))


def test_unaligned_buffers(cls):
    x = matrix(9, 1)
    raw = pa.py_buffer(b"\0" + x.tobytes()).slice(1)
    column = pa.Array.from_buffers(pa.float64(), 9, [None, raw])
    close(cls().fit_transform(pa.table({"a": column})), cls().fit_transform(x))


def test_names_are_checked(cls):
    table = arrow(matrix())
    scaler = cls().fit(table)
    for call in (scaler.transform, scaler.inverse_transform, scaler.partial_fit):
        with pytest.raises(ValueError, match="must be in the same order"):
            call(table.select(["b", "a", "c", "d"]))
        with pytest.raises(ValueError, match="now missing:\n- d"):
            call(table.drop_columns(["d"]))
    with pytest.raises(ValueError, match="X has 3 features"):
        scaler_of_arrays(scaler).inverse_transform(matrix(columns=3))


@pytest.mark.parametrize(
    ("column", "match"),
    [
        (pa.array(["1"]), r'expected numbers in column "b", got text \(Arrow format "u"\)'),
        (pa.array([1], pa.timestamp("s")), "got time"),
        (pa.array([1]).cast(pa.decimal128(20)), "got decimal"),
        (pa.array(["x"]).dictionary_encode(), "got dictionary"),
        (pa.array([[1.0]]), "got nested"),
    ],
    ids=["text", "time", "decimal", "dictionary", "list"],
)
def test_what_is_refused(cls, column, match):
    with pytest.raises(omninorm.Error, match=match):
        cls().fit(pa.table({"a": [1.0], "b": column}))


def test_no_table(cls):
    with pytest.raises(omninorm.Error, match="expected a table, with columns, got one column"):
        cls().fit(pa.array([1.0, 2.0]))
    with pytest.raises(ValueError, match=r"0 feature\(s\)"):
        cls().fit(pa.table({}))
    empty = arrow(matrix()[:0])
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        cls().fit(empty)
    scaler = cls().fit(arrow(matrix()))
    assert scaler.transform(empty).shape == (0, 4)
    no_batch = pa.RecordBatchReader.from_batches(empty.schema, [])
    assert_same(cls().partial_fit(no_batch).partial_fit(arrow(matrix())), scaler)


def test_infinities_are_told_by_the_row_of_the_table(cls):
    x = matrix(100)
    x[83, 2] = np.inf
    table = pa.concat_tables([arrow(x[:50]), arrow(x[50:])])
    with pytest.raises(omninorm.Error, match="got inf in row 83, column 2"):
        cls().fit(table)


@pytest.mark.parametrize("weighted", SCALERS[:2], ids=lambda c: c.__name__)
def test_weights(weighted):
    x, weight = matrix(100), np.arange(100) % 3 / 2
    table = pa.concat_tables([arrow(x[:30]), arrow(x[30:])])
    got = weighted().fit(table, sample_weight=weight)
    parts = weighted().partial_fit(x[:30], sample_weight=weight[:30])
    assert_same(got, parts.partial_fit(x[30:], sample_weight=weight[30:]))
    for length in (29, 99, 101):
        with pytest.raises(omninorm.Error, match="expected .* sample_weight"):
            weighted().fit(table, sample_weight=np.ones(length))
    weight[77] = -1
    with pytest.raises(omninorm.Error, match="got -1 for row 77"):
        weighted().fit(table, sample_weight=weight)


def test_streams_are_read_once(cls):
    x = matrix()
    table = arrow(x)
    assert_same(cls().fit(table.to_reader()), cls().fit(x))
    with pytest.raises((ValueError, OSError)):
        cls().fit_transform(table.to_reader())


def test_a_failing_producer(cls):
    def batches():
        yield arrow(matrix()).to_batches()[0]
        raise RuntimeError("the disk is gone")

    scaler = cls().fit(arrow(matrix()))
    before = scaler.to_json()
    reader = pa.RecordBatchReader.from_batches(arrow(matrix()).schema, batches())
    with pytest.raises(omninorm.Error, match="expected another batch .* the disk is gone"):
        scaler.partial_fit(reader)
    assert scaler.to_json() == before


def test_buffers_are_given_back(cls):
    before = pa.total_allocated_bytes()
    table = pa.table({"a": pa.array(list(range(100000)), pa.float64())})
    scaler = cls().fit(table)
    scaler.transform(table)
    with pytest.raises(ValueError):
        cls().fit(table, sample_weight=[1]) if cls is not SCALERS[2] else cls().fit(table[:0])
    del table
    assert pa.total_allocated_bytes() == before


COPIES = """
import re, sys
import numpy as np, omninorm, pyarrow as pa
cls, kind, dtype = getattr(omninorm, sys.argv[1]), sys.argv[2], sys.argv[3]
columns = [np.arange(1_000_000, dtype=dtype) for _ in range(8)]
if kind == "arrow":
    x = pa.table({str(j): pa.array(column) for j, column in enumerate(columns)})
else:
    x = np.array(columns).T
    x = np.repeat(x, 2, axis=0)[::2] if kind == "strided" else np.asarray(x, order=kind)
def memory(what):
    return 1024 * int(re.search(what + r":\\s*(\\d+)", open("/proc/self/status").read())[1])
open("/proc/self/clear_refs", "w").write("5")  # the peak starts anew
before = memory("VmRSS")
scaler = cls().fit(x)
fit, before = memory("VmHWM") - before, memory("VmRSS")
y = scaler.transform(x)
print(fit / x.nbytes, (memory("VmHWM") - before) / x.nbytes)
"""


@pytest.mark.parametrize("kind", ["arrow", "C", "F", "strided"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_nothing_is_copied(cls, kind, dtype):
    """The process grows by little in fit, and by the result in transform."""
    done = subprocess.run(
        [sys.executable, "-c", COPIES, cls.__name__, kind, dtype], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    fit, transform = map(float, done.stdout.split())
    # Of strided memory half is x. Beside it there are the threads' stacks and the blocks' sums.
    assert fit < 0.25, fit
    assert transform < 1.25, transform
