"""Training speed of the lab's default model against the same model in eager PyTorch.

Both train from the same initial values on the same batches with the same threads, and take turns
in blocks of steps while the other waits idle. Run it as `./dev bench --train`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from eager_model import PLACEMENTS, Transformer
from train_tables import (
    Failure,
    describe_machine,
    machine_line,
    markdown,
    text_table,
    write_markdown,
)

# Far below where any variant, norm-free ones included, can diverge; the speed does not depend on
# it.
LEARNING_RATE = "1e-4"
BATCHES = 32
# The first steps' losses must agree between the two programs to this. Two summation orders were
# seen to differ by 5e-7 in f32 and 8e-5 in bf16, where every operator rounds.
LOSS_BOUND = {"f32": 1e-5, "bf16": 1e-3}
PAUSE = 0.05  # seconds, until the other side's OpenMP threads have stopped spinning


class Lab:
    """The lab's own training step, in omninorm_train_bench."""

    def __init__(self, arguments, settings, folder, export=None):
        program = arguments.lab
        command = [program, "--threads", str(arguments.threads), "--folder", str(folder)]
        if arguments.text:
            command += ["--text", *arguments.text]
        for name, value in settings.items():
            command += ["--set", f"{name}={value}"]
        if export:
            command += ["--export", str(export), "--batches", str(BATCHES)]
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        except OSError as error:
            raise Failure(
                f"cannot run {program} ({error.strerror}); build it with ./dev build"
            ) from error
        self.ready = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise Failure(f"omninorm_train_bench ended with code {self.process.returncode}")
        return json.loads(line)

    def steps(self, count):
        self.process.stdin.write(f"steps {count}\n")
        self.process.stdin.flush()
        answer = self.answer()
        return answer["seconds"], answer["losses"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Eager:
    """The same in Python: fused AdamW with decay on matrices only, clip_grad_norm_, set_to_none."""

    def __init__(self, start, norm=None):
        self.settings = dict(start.settings)
        if norm:
            self.settings["norm"] = norm
        self.start = start
        self.model = Transformer(self.settings)
        own = dict(self.model.named_parameters())
        unknown = sorted(set(own) - set(start.parameters))
        missing = sorted(set(start.parameters) - set(own)) if norm is None else []
        if unknown or missing:
            raise Failure(f"the two models differ: {unknown + missing} stand in one of them only")
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(start.parameters[name])
        decayed = [p for p in own.values() if p.dim() >= 2]
        plain = [p for p in own.values() if p.dim() < 2]
        groups = [{"params": decayed, "weight_decay": float(self.settings["weight_decay"])}]
        if plain:
            groups.append({"params": plain, "weight_decay": 0.0})
        betas = (float(self.settings["beta1"]), float(self.settings["beta2"]))
        self.optimiser = torch.optim.AdamW(groups, betas=betas, eps=1e-8, fused=True)
        self.clip = float(self.settings["clip"])
        self.autocast = self.settings["dtype"] == "bf16"
        self.done = 0

    def step(self):
        tokens, targets = self.start.batches[self.done % BATCHES]
        for group in self.optimiser.param_groups:
            group["lr"] = self.start.lr[self.done]
        self.optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.autocast):
            logits = self.model(tokens)
        loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        value = loss.item()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimiser.step()
        self.done += 1
        return value

    def steps(self, count):
        seconds, losses = [], []
        for _ in range(count):
            begin = time.perf_counter()
            losses.append(self.step())
            seconds.append(time.perf_counter() - begin)
        return seconds, losses

    def close(self):
        pass


class Start:
    """What omninorm_train_bench --export wrote: settings, initial parameters, batches."""

    def __init__(self, file):
        with Path(file).open("rb") as stream:
            header = json.loads(stream.readline())
            raw = stream.read()
        self.settings, self.lr = header["settings"], header["lr"]
        self.parameters, at = {}, 0
        for entry in header["parameters"]:
            count = int(np.prod(entry["shape"]))
            values = np.frombuffer(raw, np.float32, count, at).copy()
            self.parameters[entry["name"]] = torch.from_numpy(values).reshape(entry["shape"])
            at += 4 * count
        shape = (2, int(self.settings["batch"]), int(self.settings["context"]))
        self.batches = []
        for _ in range(header["batches"]):
            values = np.frombuffer(raw, np.int64, int(np.prod(shape)), at).copy()
            self.batches.append(tuple(torch.from_numpy(values).reshape(shape)))
            at += values.nbytes
        if at != len(raw):
            raise Failure(f"expected {at} bytes of values in {file}, got {len(raw)}")


def check_same(ours, theirs, bound):
    """The guard: a comparison of two models that are not the same is worth nothing."""
    count = min(len(ours), len(theirs), BATCHES)
    for step, (a, b) in enumerate(zip(ours[:count], theirs[:count], strict=True), start=1):
        if not abs(a - b) <= bound:
            raise Failure(
                f"the two models are not the same: at step {step} the lab's loss is {a:.6f}, "
                f"eager PyTorch's {b:.6f}, expected a difference of at most {bound:g}"
            )
    return max(abs(a - b) for a, b in zip(ours[:count], theirs[:count], strict=True))


def profiled_norm_share(eager, steps=3):
    """Share of the step that torch's profiler finds in norm operators, forward and backward.

    rms_norm is a chain of operators. An operator's sequence number is the one that the next node of
    the graph will get, so the nodes of a norm are those from its own number up to the number of the
    operator that follows it. The profiler slows small operators more than large ones, so the share
    without norms (the side "eager, no norms") is the one to trust.
    """
    eager.steps(1)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        begin = time.perf_counter()
        eager.steps(steps)
        whole = time.perf_counter() - begin
    node = "autograd::engine::evaluate_function:"
    events = sorted(profile.profiler.function_events, key=lambda event: event.time_range.start)
    calls = [event for event in events if event.sequence_nr >= 0 and "Backward" not in event.name]
    microseconds, nodes = 0.0, set()
    for index, event in enumerate(calls):
        if event.name not in ("aten::rms_norm", "aten::layer_norm"):
            continue
        microseconds += event.cpu_time_total
        later = calls[index + 1 :]
        following = next(c for c in later if c.time_range.start >= event.time_range.end)
        nodes.update(range(event.sequence_nr, following.sequence_nr))
    if not nodes:
        raise Failure("torch's profiler shows no norm in the eager model")
    for event in events:
        if event.name.startswith(node) and event.sequence_nr in nodes:
            microseconds += event.cpu_time_total
    return microseconds * 1e-6 / whole


def probed_norm_share(arguments, settings, folder, steps=12):
    """Share of the step that the lab's own probe finds in omninorm's operators."""
    probed = dict(settings, probe_every=4, steps=steps)
    lab = Lab(arguments, probed, folder)
    lab.steps(steps)
    lab.close()
    norm = step = 0.0
    for line in (Path(folder) / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["kind"] == "probe" and record["step"] > 1:
            norm += record["norm_seconds"]
            step += record["step_seconds"]
    return norm / step


def measure(placement, dtype, arguments, scratch):
    """All sides of one table row, in turns."""
    total = arguments.warm_up + arguments.rounds * arguments.block
    settings = {
        "placement": placement,
        "norm": arguments.norm,
        "dtype": dtype,
        "lr": LEARNING_RATE,
        "steps": total,
        "probe_every": total + 1,
        "validate_every": total + 1,
    }
    export = scratch / "start.bin"
    ours = Lab(arguments, settings, scratch / "ours", export)
    start = Start(export)
    sides = {
        "ours": ours,
        "eager": Eager(start),
        "ours_none": Lab(arguments, dict(settings, norm="none"), scratch / "none"),
        "eager_none": Eager(start, norm="none"),
    }
    seconds = {name: [] for name in sides}
    first = {}
    for name, side in sides.items():
        first[name] = side.steps(arguments.warm_up)[1]
    difference = check_same(first["ours"], first["eager"], LOSS_BOUND[dtype])
    for number in range(arguments.rounds):
        # Every side comes first, second, ... equally often.
        order = list(sides)[number % len(sides) :] + list(sides)[: number % len(sides)]
        for name in order:
            time.sleep(PAUSE)
            seconds[name].append(sides[name].steps(arguments.block)[0])
        progress(f"{placement} {dtype}: round {number + 1} of {arguments.rounds}")
    progress("")
    profiled = profiled_norm_share(Eager(start))
    for side in sides.values():
        side.close()
    probed = probed_norm_share(arguments, settings, scratch / "probed")
    tokens = int(start.settings["batch"]) * int(start.settings["context"])
    row = summarise(seconds, tokens)
    row.update(
        placement=placement,
        dtype=dtype,
        norm=arguments.norm,
        loss_difference=difference,
        parameters=ours.ready["parameters"],
        simd=ours.ready["simd"],
        norm_share_eager_profiler=profiled,
        norm_share_ours_probe=probed,
    )
    return row


def summarise(seconds, tokens):
    """Speeds from the median step; ratios from the blocks of the same round."""
    step = {name: statistics.median(sum(blocks, [])) for name, blocks in seconds.items()}
    blocks = {name: [statistics.median(block) for block in each] for name, each in seconds.items()}
    ratios = [theirs / ours for ours, theirs in zip(blocks["ours"], blocks["eager"], strict=True)]
    bounds = [
        theirs / free for theirs, free in zip(blocks["eager"], blocks["eager_none"], strict=True)
    ]
    return {
        "tokens_per_second": {name: tokens / value for name, value in step.items()},
        "ratio": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
        "bound_free_norms": statistics.median(bounds),
        "norm_share_eager": 1 - step["eager_none"] / step["eager"],
        "norm_share_ours": 1 - step["ours_none"] / step["ours"],
        "step_seconds": seconds,
    }


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def parse_arguments():
    cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(
        prog="omninorm_bench --train",
        description="Tokens a second of the lab's default model against the same model in eager "
        "PyTorch (fused AdamW, SDPA, F.rms_norm), in turns in one run, with the speed that eager "
        "PyTorch would have if its norms cost nothing.",
    )
    parser.add_argument("--lab", required=True, help="path of omninorm_train_bench (set for you)")
    parser.add_argument(
        "--placement", nargs="+", default=["pre", "peri"], choices=sorted(PLACEMENTS)
    )
    parser.add_argument("--norm", default="rms_norm", choices=["rms_norm", "layer_norm"])
    parser.add_argument("--dtype", nargs="+", default=["f32"], choices=["f32", "bf16"])
    parser.add_argument("--threads", type=int, default=cores, help=f"default: {cores}")
    parser.add_argument("--rounds", type=int, default=8, help="blocks per side (default 8)")
    parser.add_argument("--block", type=int, default=10, help="steps per block (default 10)")
    parser.add_argument("--warm-up", type=int, default=5, help="steps before timing (default 5)")
    parser.add_argument(
        "--text", nargs="+", help="files to train on (default: the prose of Debian's packages)"
    )
    parser.add_argument("--json", help="write all figures to this file")
    parser.add_argument("--markdown", help="write the table between the markers of this file")
    arguments = parser.parse_args()
    for name in ("threads", "rounds", "block", "warm_up"):
        if getattr(arguments, name) < 1:
            parser.error(f"expected --{name.replace('_', '-')} of at least 1")
    return arguments


def main():
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    # Under autocast the norms' weights are f32 and x is bf16, on both sides.
    warnings.filterwarnings("ignore", message="Mismatch dtype between input and weight")
    result = {"format": 1, "machine": describe_machine(arguments.threads), "rows": []}
    print(machine_line(result["machine"]), flush=True)
    try:
        for dtype in arguments.dtype:
            for placement in arguments.placement:
                with tempfile.TemporaryDirectory() as scratch:
                    result["rows"].append(measure(placement, dtype, arguments, Path(scratch)))
    except KeyboardInterrupt:
        print("\nStopped.")
    if not result["rows"]:
        return 130
    print(text_table(result["rows"]))
    print("ratio: eager PyTorch's time over the lab's, 1.00 or more means not slower.")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n")
    if arguments.markdown:
        write_markdown(arguments.markdown, markdown(result))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failure, OSError) as problem:
        sys.exit(f"omninorm_bench --train: {problem}")
