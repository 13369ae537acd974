"""Threads, signals, forks, files and imports: what a process sees."""

import os
import re
import subprocess
import sys
import threading
import time

import numpy as np
import omninorm
import pytest
from scalers import state

SCALERS = ["ZScoreScaler", "MinMaxScaler", "RunningScaler"]
PROGRAM = os.environ["OMNINORM_SCALER_FILE"]  # tests/python/scaler_file.cc


def run(code, *arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_import_needs_numpy_alone():
    code = """
import sys
for name in ("torch", "sklearn", "scipy", "pandas", "pyarrow", "polars"):
    sys.modules[name] = None  # importing it fails
import omninorm
x = [[1.0, 2.0], [3.0, 5.0]]
for cls in (omninorm.ZScoreScaler, omninorm.MinMaxScaler, omninorm.RunningScaler):
    scaler = cls().fit(x)
    print(cls.__name__, scaler.inverse_transform(scaler.transform(x)).tolist())
try:
    omninorm.ZScoreScaler().transform(x)
except omninorm.NotFittedError as error:
    print(error)
try:
    import omninorm.nn
except ImportError as error:
    print(error)
"""
    lines = run(code).splitlines()
    assert [line.split()[0] for line in lines[:3]] == SCALERS
    assert all(line.endswith("[[1.0, 2.0], [3.0, 5.0]]") for line in lines[:3])
    assert lines[3].startswith("This ZScoreScaler instance is not fitted yet")
    assert lines[4].startswith("[omninorm] expected torch 2.13, got none")
    assert "pip install --no-build-isolation ." in lines[4]


def test_no_torch_and_no_openmp_are_loaded():
    code = """
import re, sys
import numpy as np, omninorm
omninorm.ZScoreScaler().fit(np.ones((100000, 8)))
maps = open("/proc/self/maps").read()
openmp = re.findall(r"lib(gomp|iomp|omp)", maps)
print("torch" in sys.modules, "sklearn" in sys.modules, len(openmp))
"""
    assert run(code) == "False False 0"


def test_the_number_of_threads():
    code = """
import os, threading
import numpy as np, omninorm
x = np.zeros((2_000_000, 8))
seen, done = set(), threading.Event()
def watch():
    while not done.is_set():
        seen.add(len(os.listdir("/proc/self/task")))
watcher = threading.Thread(target=watch)
watcher.start()
for _ in range(3):
    omninorm.ZScoreScaler().fit_transform(x)
done.set()
watcher.join()
print(omninorm.get_num_threads(), max(seen) - min(seen))
"""
    # The watcher and numpy's own threads are there all the time, ours while they work.
    for count in (1, 3):
        name, more = run(code, OMP_NUM_THREADS=str(count), OPENBLAS_NUM_THREADS="1").split()
        assert int(name) == count and int(more) == count - 1
    for wrong in (0, -1, 5000):
        with pytest.raises(omninorm.Error, match="expected 1 to 1024 threads"):
            omninorm.set_num_threads(wrong)


def test_no_more_threads_than_cpus_that_it_may_use():
    code = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.environ.pop("OMP_NUM_THREADS", None)
import omninorm
print(omninorm.get_num_threads())
"""
    assert run(code) == "1"


@pytest.mark.parametrize("name", SCALERS)
def test_other_threads_run_meanwhile(name):
    x = np.random.default_rng(0).normal(size=(4_000_000, 8))
    scaler = getattr(omninorm, name)()
    for call in (scaler.fit, scaler.transform):
        worker = threading.Thread(target=call, args=(x,))
        steps = 0
        worker.start()
        while worker.is_alive():
            time.sleep(0.0005)
            steps += 1
        assert steps >= 10, call


def test_one_scaler_in_many_threads():
    x = np.random.default_rng(0).normal(size=(30000, 8))
    scaler = omninorm.ZScoreScaler().fit(x)
    expected, wrong = scaler.transform(x).tobytes(), []

    def work():
        for _ in range(10):
            if scaler.transform(x).tobytes() != expected:
                wrong.append(1)
            scaler.merge(omninorm.ZScoreScaler())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_after_a_fork():
    x = np.random.default_rng(0).normal(size=(200000, 8))
    omninorm.set_num_threads(4)
    expected = state(omninorm.ZScoreScaler().fit(x))
    child = os.fork()
    if child == 0:
        os._exit(0 if state(omninorm.ZScoreScaler().fit(x)) == expected else 1)
    assert os.waitpid(child, 0)[1] == 0


INTERRUPT = """
import os, signal, sys, threading, time
import numpy as np, omninorm
cls = getattr(omninorm, sys.argv[1])
scaler = cls().fit(np.arange(12.0).reshape(3, 4))
before = scaler.to_json()
def arrow():
    import pyarrow as pa
    batch = pa.record_batch({str(j): np.arange(1e6) for j in range(4)})
    return pa.Table.from_batches([batch] * 100_000)
# More rows than any machine reads in an hour, in little memory.
x = np.broadcast_to(np.arange(4.0), (1 << 50, 4)) if sys.argv[2] == "array" else arrow()
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    scaler.partial_fit(x)
except KeyboardInterrupt:
    print("interrupted", scaler.to_json() == before)
"""


@pytest.mark.parametrize("kind", ["array", "arrow"])
@pytest.mark.parametrize("name", SCALERS)
def test_ctrl_c_stops_a_long_fit(name, kind):
    assert run(INTERRUPT, name, kind) == "interrupted True"


@pytest.mark.parametrize("name", SCALERS)
def test_files(name, tmp_path):
    x = np.random.default_rng(0).normal(size=(50, 3))
    scaler = getattr(omninorm, name)().fit(x)
    for path in (tmp_path / "a.json", str(tmp_path / "b ü.json")):
        scaler.save(path)
        twin = omninorm.load_scaler(path)
        assert type(twin) is type(scaler) and twin.to_json() == scaler.to_json()
    time_of_fit = re.search(r'"time": ?"(.*?)"', scaler.to_json())[1]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time_of_fit)
    with pytest.raises(FileNotFoundError, match="none.json"):
        omninorm.load_scaler(tmp_path / "none.json")
    with pytest.raises(FileNotFoundError, match="no folder"):
        scaler.save(tmp_path / "no folder" / "c.json")
    cut = tmp_path / "cut.json"
    cut.write_text(scaler.to_json()[:-9])
    with pytest.raises(omninorm.Error, match=r"cut.json: \[scaler\] expected the JSON of a scaler"):
        omninorm.load_scaler(cut)
    with pytest.raises(omninorm.Error, match="version 1 of the format, got version 2"):
        omninorm.from_json(scaler.to_json().replace('"version": 1', '"version": 2'))


def cpp(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], check=True, capture_output=True).stdout


@pytest.mark.parametrize("name", SCALERS)
def test_cpp_reads_what_python_wrote(name, tmp_path):
    path, other = tmp_path / "python.json", tmp_path / "cpp.json"
    scaler = getattr(omninorm, name)(infinite="ignore")
    scaler.fit(np.random.default_rng(0).normal(1e9, 1, size=(50, 3))).save(path)
    cpp("copy", path, other)
    assert other.read_text() == path.read_text() == scaler.to_json()


@pytest.mark.parametrize("name", SCALERS)
def test_python_reads_what_cpp_wrote(name, tmp_path):
    path = tmp_path / "cpp.json"
    kind = {"ZScoreScaler": "z_score", "MinMaxScaler": "min_max", "RunningScaler": "running"}[name]
    # What the program fits on, to the bit; and options that are not the defaults.
    x = np.array([[i * i / 7 + j for j in range(3)] for i in range(40)])
    y = np.frombuffer(cpp("fit", kind, path), np.float64).reshape(40, 3)
    options = {
        "z_score": {"variance": "unbiased", "with_mean": False},
        "min_max": {"feature_range": (-1, 2), "clip": True},
        "running": {"alpha": 0.25, "variance": "unbiased"},
    }[kind]
    scaler = omninorm.load_scaler(path)
    expected = getattr(omninorm, name)(**options).fit(x)
    assert state(scaler) == state(expected) and scaler.get_params() == expected.get_params()
    np.testing.assert_array_equal(scaler.transform(x), y)
    unfitted = tmp_path / "unfitted.json"
    cpp("unfitted", kind, unfitted)
    fresh = omninorm.load_scaler(unfitted)
    assert fresh.get_params() == expected.get_params()
    with pytest.raises(omninorm.NotFittedError):
        fresh.transform(x)
    assert state(fresh.fit(x)) == state(expected)
