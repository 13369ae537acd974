"""./dev bench --scalers: the data scalers beside the speed of memory and scikit-learn, in one run.

One thread each. Sides take turns (omninorm's program, scikit-learn, omninorm's program, ...); the
smallest time of each counts. Both scale the same matrix, and have to agree on its columns.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
# scikit-learn's results are new arrays: malloc keeps their memory, so that it pays for no pages
# that omninorm, which writes where it is told to, does not need.
KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "8589934592", "MALLOC_TRIM_THRESHOLD_": "8589934592"}


def arguments():
    parser = argparse.ArgumentParser(prog="./dev bench --scalers", description=__doc__)
    parser.add_argument("--program", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7, help="of every side (default: 7)")
    parser.add_argument("--json", help="write all times to this file")
    return parser.parse_args()


def time_of(call):
    call()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def scikit_sides(x):
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    sides = {}
    for name, kind in (("z_score", StandardScaler), ("min_max", MinMaxScaler)):
        fitted = kind().fit(x)
        sides[f"scikit-learn {name} fit"] = lambda kind=kind: kind().fit(x)
        sides[f"scikit-learn {name} transform"] = lambda fitted=fitted: fitted.transform(x)
    return sides


def check_agreement(x, start):
    import numpy as np

    wide = x.astype(np.float64)
    least = wide.min(axis=0)
    for got, want in (
        (start["z_score"]["center"], wide.mean(axis=0)),
        (start["z_score"]["scale"], wide.std(axis=0)),
        (start["min_max"]["center"], least),
        (start["min_max"]["scale"], wide.max(axis=0) - least),
    ):
        if not np.allclose(got, want, rtol=1e-9, atol=0):
            sys.exit("scaler_speed: omninorm's columns are not NumPy's")


def measure(options):
    import numpy as np

    x = np.random.default_rng(7).normal(3, 2, (options.rows, options.columns)).astype(np.float32)
    with tempfile.NamedTemporaryFile() as file:
        x.tofile(file.name)
        program = subprocess.Popen(
            [options.program, file.name, str(options.rows), str(options.columns)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        start = json.loads(program.stdout.readline())
    check_agreement(x, start)
    sides, times = scikit_sides(x), {}
    for _ in range(options.rounds):
        program.stdin.write("\n")
        program.stdin.flush()
        seconds = json.loads(program.stdout.readline())
        seconds |= {name: time_of(call) for name, call in sides.items()}
        for name, value in seconds.items():
            times.setdefault(name, []).append(value)
    program.stdin.close()
    program.wait()
    return start["machine"], {name: min(values) for name, values in times.items()}


def table(options, least):
    size = options.rows * options.columns * 4
    copy = min(least["copy"], least["copy streaming"])
    read = min(least["read"], least["read prefetching"])
    lines = ["| side | ms | of memory's speed | of scikit-learn's |", "|---|---:|---:|---:|"]

    def line(name, limit=None, other=None):
        cells = [name, f"{least[name] * 1e3:.1f}"]
        cells.append(f"{limit / least[name]:.2f}" if limit else "")
        cells.append(f"{other / least[name]:.1f}" if other else "")
        lines.append("| " + " | ".join(cells) + " |")

    for name in least:
        # f64 moves twice the bytes.
        wide = 2 if "f64" in name else 1
        other = least.get(f"scikit-learn {name.replace(' f32 rows', '')}")
        if name.startswith("scikit") or name.split()[0] in ("copy", "read"):
            line(name)
        elif name.endswith("fit"):
            line(name, read * wide, other)
        else:
            line(name, copy * wide, other)
    lines += ["", f"{options.rows:,} x {options.columns}, {size / 1e6:.0f} MB of f32, one thread."]
    for kind in ("z_score", "min_max"):
        ours = least[f"{kind} f32 rows fit"] + least[f"{kind} f32 rows transform"]
        theirs = least[f"scikit-learn {kind} fit"] + least[f"scikit-learn {kind} transform"]
        lines.append(f"{kind}, fit and transform: {theirs / ours:.1f} times scikit-learn's speed.")
    return "\n".join(lines)


def main():
    options = arguments()
    wanted = ONE_THREAD | KEPT_MEMORY
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | wanted)
    try:
        import numpy
        import sklearn
    except ImportError as error:
        sys.exit(f"scaler_speed: {error}; ./dev setup installs it")
    machine, least = measure(options)
    machine |= {"numpy": numpy.__version__, "scikit-learn": sklearn.__version__}
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    print(table(options, least))
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"machine": machine, "seconds": least}, file, indent=1)


if __name__ == "__main__":
    main()
