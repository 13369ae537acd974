"""`omninorm scale` with Parquet and Arrow files of pyarrow's, and pyarrow with those it wrote."""

import csv
import datetime
import decimal
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

OMNINORM = os.environ["OMNINORM_BINARY"]
ROWS = 1000


def run(*words, stdin=None, code=0):
    done = subprocess.run([OMNINORM, "scale", *map(str, words)], input=stdin, capture_output=True)
    assert done.returncode == code, done.stderr.decode()
    return done


def error_of(*words, stdin=None):
    return run(*words, stdin=stdin, code=2).stderr.decode()


def write(table, path, **options):
    path = Path(path)
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path, row_group_size=137, **options)
    elif path.suffix == ".feather":
        pyarrow.feather.write_feather(table, path, chunksize=100)
    else:
        make = pa.ipc.new_stream if path.suffix == ".arrows" else pa.ipc.new_file
        with make(path, table.schema) as writer:
            writer.write_table(table)
    return path


def read(path):
    path = Path(path)
    if path.suffix == ".parquet":
        return pyarrow.parquet.read_table(path)
    with pa.OSFile(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


def numbers_table():
    rng = np.random.default_rng(5)
    wide = rng.normal(1e6, 3, ROWS)
    return pa.table(
        {
            "wide": pa.array(wide, mask=rng.random(ROWS) < 0.1),
            "single": pa.array(rng.normal(0, 1, ROWS).astype(np.float32)),
            "whole": pa.array(rng.integers(-100, 100, ROWS)),
            "name": pa.array([f"row {i}" for i in range(ROWS)]),
        }
    )


def other_columns():
    day = datetime.datetime(2020, 1, 1, 12, 30, 0, 123456)
    some = range(ROWS)
    return {
        "bool": pa.array([i % 2 == 0 for i in some]),
        "text": pa.array([None if i % 5 == 0 else f"ä {i}" for i in some]),
        "large": pa.array([f"s{i}" for i in some], pa.large_string()),
        "bytes": pa.array([b"\0\xff" for _ in some]),
        "date": pa.array([day.date() + datetime.timedelta(days=i) for i in some]),
        "time": pa.array(
            [day + datetime.timedelta(hours=i) for i in some], pa.timestamp("us", "UTC")
        ),
        "nanoseconds": pa.array([day for _ in some], pa.timestamp("ns")),
        "decimal": pa.array([decimal.Decimal(i) / 4 for i in some], pa.decimal128(10, 2)),
        "list": pa.array([[0.1, None, i] for i in some]),
        "struct": pa.array([{"a": i, "b": 'x"y'} for i in some]),
        "coded": pa.array([f"c{i // 200}" for i in some]).dictionary_encode(),
        "map": pa.array([[("k", i)] for i in some], pa.map_(pa.string(), pa.int32())),
        "nothing": pa.nulls(ROWS),
        "half": pa.array(np.arange(ROWS).astype(np.float16)),
        "unsigned": pa.array(some, pa.uint64()),
    }


FORMATS = ("parquet", "feather", "arrow")


@pytest.mark.parametrize("form", (*FORMATS, "arrows"))
def test_fits_and_scales_like_csv(tmp_path, form):
    table = numbers_table()
    data = write(table, tmp_path / f"data.{form}")
    plain = tmp_path / "data.csv"
    with open(plain, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table.column_names)
        for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
            writer.writerow("" if cell is None else cell for cell in row)
    for file, out in ((data, "a"), (plain, "b")):
        run("fit", file, "-o", tmp_path / f"{out}.json")
        run("transform", tmp_path / f"{out}.json", file, "-o", tmp_path / f"{out}.csv")
        shown = json.loads(run("show", tmp_path / f"{out}.json", "--json").stdout)
        assert [column["name"] for column in shown["columns"]] == ["wide", "single", "whole"]
    states = [json.loads((tmp_path / f"{out}.json").read_text()) for out in "ab"]
    assert states[0]["columns"] == states[1]["columns"]
    one, other = ((tmp_path / f"{out}.csv").read_text().splitlines() for out in "ab")
    assert len(one) == ROWS + 1
    # f32 is written in fewer digits than text, which is taken for f64.
    for left, right in zip(one[1:], other[1:], strict=True):
        left, right = left.split(","), right.split(",")
        assert (left[0], left[2], left[3]) == (right[0], right[2], right[3])
        assert np.float32(left[1]) == np.float32(right[1])


@pytest.mark.parametrize("source", (*FORMATS, "arrows"))
@pytest.mark.parametrize("target", FORMATS)
def test_other_columns_pass_through_untouched(tmp_path, source, target):
    table = numbers_table()
    for name, column in other_columns().items():
        table = table.append_column(name, column)
    table = table.replace_schema_metadata({"kept": "yes"})
    data = write(table, tmp_path / f"data.{source}")
    fitted = ["--columns", "wide,single,whole"]
    run("fit", data, *fitted, "-o", tmp_path / "s.json")
    run("transform", tmp_path / "s.json", data, "-o", tmp_path / f"out.{target}")
    made = read(tmp_path / f"out.{target}")
    assert made.column_names == table.column_names
    assert made.schema.metadata[b"kept"] == b"yes"
    for name in other_columns():
        expected, found = table[name].combine_chunks(), made[name].combine_chunks()
        if found.type != expected.type:
            # Arrow's file format has one dictionary for all rows.
            assert name == "coded" and target != "parquet" and source in ("parquet", "arrows")
            expected = expected.dictionary_decode()
        assert found.equals(expected), name
    assert made.schema.field("single").type == pa.float32()
    assert made.schema.field("whole").type == pa.float64()
    assert (
        made["wide"].combine_chunks().is_valid().equals(table["wide"].combine_chunks().is_valid())
    )
    wide = table["wide"].combine_chunks().drop_null().to_numpy()
    scaled = made["wide"].combine_chunks().drop_null().to_numpy()
    np.testing.assert_allclose(scaled, (wide - wide.mean()) / wide.std(), rtol=1e-9, atol=1e-9)
    run(
        "inverse",
        tmp_path / "s.json",
        tmp_path / f"out.{target}",
        "-o",
        tmp_path / f"back.{target}",
    )
    back = read(tmp_path / f"back.{target}")
    np.testing.assert_allclose(
        back["wide"].combine_chunks().drop_null().to_numpy(), wide, rtol=1e-15
    )
    np.testing.assert_array_equal(np.round(back["whole"].to_numpy(), 9), table["whole"].to_numpy())


def test_null_and_nan_stay_what_they_were(tmp_path):
    table = pa.table({"x": pa.array([1.0, None, float("nan"), 3.0])})
    data = write(table, tmp_path / "data.parquet")
    run("fit", data, "-o", tmp_path / "s.json")
    run("transform", tmp_path / "s.json", data, "-o", tmp_path / "out.parquet")
    column = read(tmp_path / "out.parquet")["x"].combine_chunks()
    assert column.is_valid().to_pylist() == [True, False, True, True]
    assert column.to_pylist()[0] == -1 and np.isnan(column.to_pylist()[2])


def test_csv_cells_become_typed_columns_and_back(tmp_path):
    (tmp_path / "data.csv").write_text('x,name\n1,"a, b"\n,c\n3,\n')
    run("fit", tmp_path / "data.csv", "-o", tmp_path / "s.json")
    run("transform", tmp_path / "s.json", tmp_path / "data.csv", "-o", tmp_path / "out.parquet")
    made = read(tmp_path / "out.parquet")
    assert made.to_pydict() == {"x": [-1, None, 1], "name": ["a, b", "c", ""]}
    run("inverse", tmp_path / "s.json", tmp_path / "out.parquet", "-o", tmp_path / "back.csv")
    assert (tmp_path / "back.csv").read_text() == 'x,name\n1,"a, b"\n,c\n3,\n'


def test_values_of_other_types_as_text(tmp_path):
    table = pa.table(
        {"x": pa.array([1.0, 2.0])} | {k: v.slice(1, 2) for k, v in other_columns().items()}
    )
    data = write(table, tmp_path / "data.parquet")
    run("fit", data, "--columns", "x", "-o", tmp_path / "s.json")
    text = run("transform", tmp_path / "s.json", data, "--to", "csv").stdout.decode()
    row = next(csv.DictReader(text.splitlines()))
    assert row == {
        "x": "-1", "bool": "false", "text": "ä 1", "large": "s1", "bytes": "00FF",
        "date": "2020-01-02", "time": "2020-01-01 13:30:00.123456Z",
        "nanoseconds": "2020-01-01 12:30:00.123456000", "decimal": "0.25", "list": "[0.1,null,1]",
        "struct": '{"a":1,"b":"x\\"y"}', "coded": "c0", "map": '[{"key":"k","value":1}]',
        "nothing": "", "half": "1", "unsigned": "1",
    }  # fmt: skip


def test_streams_through_pipes(tmp_path):
    data = write(numbers_table(), tmp_path / "data.arrows")
    run("fit", "-", "-o", tmp_path / "s.json", stdin=data.read_bytes())
    out = run(
        "transform", tmp_path / "s.json", "-", "--to", "arrow", stdin=data.read_bytes()
    ).stdout
    piped = pa.ipc.open_stream(out).read_all()
    run("transform", tmp_path / "s.json", data, "-o", tmp_path / "out.arrow")
    assert piped.equals(read(tmp_path / "out.arrow"))
    # A file through a pipe, too; cut short, it is none.
    whole = (tmp_path / "out.arrow").read_bytes()
    run("inverse", tmp_path / "s.json", "-", "-o", tmp_path / "back.arrow", stdin=whole)
    assert "cut" in error_of("fit", "-", "-o", tmp_path / "t.json", stdin=whole[:-1])
    parquet = write(numbers_table(), tmp_path / "data.parquet")
    assert "not from a pipe" in error_of("fit", "-", stdin=parquet.read_bytes())


def test_the_index_of_pandas_is_no_data(tmp_path):
    described = json.dumps({"index_columns": ["__index_level_0__", {"kind": "range"}]})
    table = pa.table({"x": [1.0, 3.0], "__index_level_0__": [7, 9]})
    data = write(table.replace_schema_metadata({"pandas": described}), tmp_path / "data.parquet")
    run("fit", data, "-o", tmp_path / "s.json")
    run("transform", tmp_path / "s.json", data, "-o", tmp_path / "out.parquet")
    made = read(tmp_path / "out.parquet")
    assert made.to_pydict() == {"x": [-1, 1], "__index_level_0__": [7, 9]}
    assert made.schema.field("__index_level_0__").type == pa.int64()


def test_keys_beyond_2_53_are_told(tmp_path):
    table = pa.table({"key": pa.array([1, 2**53 + 1]), "x": [1.0, 2.0]})
    data = write(table, tmp_path / "data.parquet")
    words = error_of("fit", data, "-o", tmp_path / "s.json")
    assert 'row 2, column "key"' in words and "9007199254740993" in words and "--text" in words
    run("fit", data, "--text", "key", "-o", tmp_path / "s.json")
    run("transform", tmp_path / "s.json", data, "-o", tmp_path / "out.parquet")
    assert read(tmp_path / "out.parquet")["key"].to_pylist() == [1, 2**53 + 1]
    # 2^53 itself is exact.
    data = write(pa.table({"x": pa.array([2**53, -(2**53)])}), tmp_path / "edge.parquet")
    run("fit", data, "-o", tmp_path / "s.json")


def test_columns_without_numbers_are_an_error(tmp_path):
    data = write(pa.table({"a": ["x", "y"], "b": [True, False]}), tmp_path / "data.parquet")
    assert "expected a column of numbers" in error_of("fit", data)
    assert "holds string" in error_of("fit", data, "--columns", "a")


def test_a_table_without_rows(tmp_path):
    table = numbers_table()
    run("fit", write(table, tmp_path / "data.parquet"), "-o", tmp_path / "s.json")
    for form in FORMATS:
        empty = write(table.slice(0, 0), tmp_path / f"empty.{form}")
        run("transform", tmp_path / "s.json", empty, "-o", tmp_path / f"out.{form}")
        made = read(tmp_path / f"out.{form}")
        assert made.num_rows == 0 and made.column_names == table.column_names
        assert made.schema.field("name").type == pa.string()


def test_a_failed_write_leaves_the_old_file(tmp_path):
    data = write(numbers_table(), tmp_path / "data.parquet")
    run("fit", data, "-o", tmp_path / "s.json")
    out = tmp_path / "out.parquet"
    out.write_text("old")
    words = f"ulimit -f 4; exec '{OMNINORM}' scale transform s.json data.parquet -o out.parquet"
    done = subprocess.run(["sh", "-c", words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "File too large" in done.stderr
    assert out.read_text() == "old"
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "data.parquet",
        "out.parquet",
        "s.json",
    ]


def test_the_program_starts_without_arrow(tmp_path):
    lines = subprocess.run(["ldd", OMNINORM], capture_output=True, text=True).stdout
    assert "arrow" not in lines and "parquet" not in lines
    alone = tmp_path / "bin" / "omninorm"
    alone.parent.mkdir()
    alone.write_bytes(Path(OMNINORM).read_bytes())
    alone.chmod(0o755)
    data = write(numbers_table(), tmp_path / "data.parquet")
    done = subprocess.run([alone, "scale", "fit", data], capture_output=True, text=True)
    assert done.returncode == 2 and "pip install 'pyarrow==" in done.stderr


# One record batch or row group; in Parquet, a dictionary makes it a file of some kilobytes.
@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_memory_is_bounded_by_text(tmp_path, suffix):
    rows = 6000
    text = pa.array(["a" * 50_000 if i < rows // 2 else "" for i in range(rows)])
    table = pa.table({"x": pa.array(np.arange(rows, dtype=float)), "text": text})
    path = tmp_path / f"long.{suffix}"
    if suffix == "parquet":
        pyarrow.parquet.write_table(table, path)
    else:
        write(table, path)
    state = tmp_path / "s.json"
    run("fit", path, "-o", state)
    command = [OMNINORM, "scale", "transform", state, path, "-o", tmp_path / "out.csv"]
    # A child's peak begins with what its parent had: a small one.
    parent = """
import os, subprocess, sys
_, status, usage = os.wait4(subprocess.Popen(sys.argv[1:]).pid, 0)
print(status, usage.ru_maxrss)
"""
    words = [sys.executable, "-c", parent, *map(str, command)]
    # What is freed counts as free: ASan keeps 256 MB of it by itself.
    asan = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"
    environment = {**os.environ, "ASAN_OPTIONS": asan}
    done = subprocess.run(words, capture_output=True, check=True, text=True, env=environment)
    status, peak = map(int, done.stdout.split())
    assert status == 0, done.stderr
    assert peak < 280 * 1024  # in KiB; 150 MB of text, held as Arrow and as strings
    assert (tmp_path / "out.csv").stat().st_size > rows // 2 * 50_000
