"""Where PyTorch's norms are wrong on the CPU, beside the right answer and omninorm's.

    python experiments/pytorch_defects.py

needs torch and omninorm (docs/python.md says how to install them) and takes seconds. Every case is
computed three times: by the formula in float64, by PyTorch, by omninorm. Errors are given in units
of what the arithmetic excuses: sums and products in float32 and one rounding to the result's type,
the bounds of docs/norms.md that omninorm's own tests hold its kernels to. Up to 1 is right. Numbers
are those of docs/pytorch-defects.md. Ends with 1 where omninorm is wrong.
"""

import datetime
import math
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import omninorm
import omninorm.nn
import torch
import torch.nn.functional as F

ops = torch.ops.omninorm
U = 2.0**-24
ROUNDING = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8, torch.float64: 2.0**-53}
CHANNELS_LAST = torch.channels_last
THREADS = 2


@dataclass
class Row:
    number: int
    case: str
    quantity: str
    right: str
    theirs: str
    ours: str
    theirs_right: bool
    ours_right: bool


ROWS: list[Row] = []


def plain(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e6
    return f"{value:.3g}" if isinstance(value, float) and not whole else f"{value:.0f}"


def compare(number, case, quantity, right, theirs, ours, tolerance=0.0):
    """Adds a row of plain values; numbers are right within the relative tolerance."""

    def ok(value):
        if not isinstance(value, float):
            return value == right
        return abs(value - right) <= tolerance * max(abs(right), 1)

    texts = [value if isinstance(value, str) else plain(value) for value in (right, theirs, ours)]
    ROWS.append(Row(number, case, quantity, *texts, ok(theirs), ok(ours)))


def outcome(call):
    """What a call that should work or refuse says."""
    try:
        call()
    except Exception as error:  # whatever it is is the answer
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return "works"


# An op is a view of x as [n, groups, c, positions], and the dimensions of it that share statistics.
@dataclass
class Op:
    name: str
    groups: Callable[[int], int]  # of the number of channels
    dims: tuple
    theirs: Callable  # of x, weight, bias
    ours: Callable
    center: bool = True
    eps: float = 1e-5
    before_weight: bool = False


def layer_norm():
    return Op(
        "layer_norm",
        lambda channels: 1,
        (2, 3),
        lambda x, w, b: F.layer_norm(x, x.shape[1:], w, b),
        lambda x, w, b: ops.layer_norm(x, x.shape[1:], w, b),
    )


def group_norm(groups):
    return Op(
        "group_norm",
        lambda channels: groups,
        (2, 3),
        lambda x, w, b: F.group_norm(x, groups, w, b),
        lambda x, w, b: ops.group_norm(x, groups, w, b),
    )


def instance_norm():
    return Op(
        "instance_norm",
        lambda channels: channels,
        (2, 3),
        lambda x, w, b: F.instance_norm(x, None, None, w, b),
        lambda x, w, b: ops.instance_norm(x, w, b),
    )


def batch_norm():
    return Op(
        "batch_norm",
        lambda channels: channels,
        (0, 2, 3),
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
        lambda x, w, b: ops.batch_norm(x, w, b),
    )


def llama(x, weight, bias):
    """The forward of Hugging Face's LlamaRMSNorm; autograd takes it back step by step."""
    hidden = x.to(torch.float32)
    variance = hidden.pow(2).mean(-1, keepdim=True)
    hidden = hidden * torch.rsqrt(variance + 1e-6)
    return weight * hidden.to(x.dtype) + 0 * bias


def llama_norm():
    return Op(
        "Llama's RMSNorm",
        lambda channels: 1,
        (2, 3),
        llama,
        lambda x, w, b: ops.rms_norm(x, x.shape[1:], w, b, cast_policy="before_weight"),
        center=False,
        eps=1e-6,
        before_weight=True,
    )


def exact(op, x, weight, bias, dy):
    """By name: the value in float64, and the error that float32 arithmetic excuses."""
    groups = op.groups(x.shape[1])
    rows = x.shape[0]

    def view(t):
        return t.double().reshape(rows, groups, x.shape[1] // groups, -1)

    def channels(t):
        return t.double().reshape(1, groups, x.shape[1] // groups, 1)

    def mean(t):
        return t.mean(op.dims, keepdim=True)

    def over_rows(t):
        return t.sum((0, 3)).flatten()

    x_, dy_, w, b = view(x), view(dy), channels(weight), channels(bias)
    count = math.prod(x_.shape[dim] for dim in op.dims)
    ku, ku_rows = ((8 + math.sqrt(n)) * U for n in (count, x_.shape[0] * x_.shape[3]))
    center = mean(x_) if op.center else torch.zeros_like(mean(x_))
    rstd = (mean((x_ - center).square()) + op.eps).rsqrt()
    xhat = (x_ - center) * rstd
    # Backward starts from a mean that was saved in float32.
    off = ku * (int(op.center) + xhat.abs()) + U * center.abs() * rstd
    seen, step = xhat, torch.zeros_like(xhat)
    if op.before_weight:  # near a tie either neighbour is right
        seen = xhat.to(x.dtype).double()
        above, below = ((xhat * (1 + s * ku)).to(x.dtype).double() for s in (1, -1))
        step = (above - below).abs()
    y = seen * w + b
    g = dy_ * w
    mean_g = mean(g) if op.center else 0
    mean_abs_g = mean(g.abs()) if op.center else 0
    mean_gx = mean(g * xhat)
    dx = rstd * (g - mean_g - xhat * mean_gx)
    dx_error = ku * (g.abs() + mean_abs_g + xhat.abs() * mean((g * xhat).abs()))
    dx_error = rstd * (dx_error + off * mean_gx.abs() + xhat.abs() * mean(g.abs() * off))
    y_error = w.abs() * (ku * (int(op.center) + xhat.abs()) + step) + 4 * U * (y.abs() + b.abs())
    size = dy_.abs()
    return {
        "y": (y.reshape(x.shape), y_error.reshape(x.shape)),
        "dx": (dx.reshape(x.shape), dx_error.reshape(x.shape)),
        "dweight": (
            over_rows(dy_ * seen),
            over_rows(size * (ku_rows * xhat.abs() + off + step)),
        ),
        "dbias": (over_rows(dy_), ku_rows * over_rows(size)),
    }


def results(function, x, weight, bias, dy):
    inputs = [t.detach().clone().requires_grad_() for t in (x, weight, bias)]
    y = function(*inputs)
    gradients = torch.autograd.grad(y, inputs, dy.to(y.dtype))
    return dict(zip(("y", "dx", "dweight", "dbias"), (y.detach(), *gradients)))


def times_bound(got, value, error):
    bound = error + ROUNDING[got.dtype] * (value.abs() + error) + 1e-45
    worst = ((got.double() - value).abs() / bound).nan_to_num(nan=math.inf).max()
    return worst.item()


def errors(number, case, op, x, weight, bias, dy, quantities):
    """Adds a row for each of the quantities: the worst entry's error, in units of its bound."""
    truth = exact(op, x, weight, bias, dy)
    theirs, ours = (results(f, x, weight, bias, dy) for f in (op.theirs, op.ours))
    for name in quantities:
        pair = [times_bound(side[name], *truth[name]) for side in (theirs, ours)]
        texts = [plain(value) for value in pair]
        right = [value <= 1 for value in pair]
        ROWS.append(Row(number, case, f"error of {name} / bound", "up to 1", *texts, *right))


def inputs(shape, dtype, mean=0.0, layout=torch.contiguous_format, weight_dtype=None):
    x, dy = torch.randn(shape) + mean, torch.randn(shape)
    x, dy = (t.to(dtype).contiguous(memory_format=layout) for t in (x, dy))
    weight = torch.empty(shape[1]).uniform_(0.5, 1.5).to(weight_dtype or dtype)
    return x, weight, torch.zeros_like(weight), dy


def far_from_zero():
    data = inputs((64, 512), torch.float32, mean=2000)
    errors(8, "layer_norm f32 64x512, mean 2000, std 1", layer_norm(), *data, ["y"])
    data = inputs((8, 32, 14, 14), torch.float32, mean=2000, layout=CHANNELS_LAST)
    case = "group_norm f32 8x32x14x14 NHWC, 4 groups, mean 2000, std 1"
    errors(29, case, group_norm(4), *data, ["y", "dx"])
    truth = exact(group_norm(4), *data)["y"][0].abs().max().item()
    largest = [f(*data[:3]).abs().max().item() for f in (group_norm(4).theirs, group_norm(4).ours)]
    compare(29, case, "largest magnitude in y", truth, *largest, tolerance=1e-5)
    case = "batch_norm f32 4000x3, mean 10000, std 0.01"
    x = torch.randn(4000, 3) * 0.01 + 10000
    least = []
    for module in (torch.nn, omninorm.nn):
        norm = module.BatchNorm1d(3, momentum=1.0)
        norm(x)
        least.append(bool((norm.running_var >= 0).all()))
    compare(9, case, "running_var is 0 or more", True, *least)


def sums_in_bf16():
    case = "layer_norm bf16 4096x64, dy = 1"
    x, weight, bias, _ = inputs((4096, 64), torch.bfloat16)
    op = layer_norm()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        pair = [
            results(f, x, weight, bias, torch.ones_like(x))["dbias"][0].item()
            for f in (op.theirs, op.ours)
        ]
        compare(28, case, f"dbias with {threads} thread" + "s" * (threads > 1), 4096.0, *pair)
    torch.set_num_threads(THREADS)
    for rows in (512, 16384):
        data = inputs((rows, 64), torch.bfloat16, weight_dtype=torch.float32)
        case = f"layer_norm bf16 {rows}x64, weight f32"
        truth = exact(op, *data)["dweight"][0]
        pair = [results(f, *data)["dweight"].double() - truth for f in (op.theirs, op.ours)]
        off = [(difference.abs().max() / truth.abs().max()).item() for difference in pair]
        compare(28, case, "error of dweight / largest", 0.0, *off, tolerance=1e-4)


def statistics_in_bf16():
    for op, shape in (
        (layer_norm(), (64, 512)),
        (group_norm(4), (8, 32, 14, 14)),
        (batch_norm(), (8, 32, 14, 14)),
        (instance_norm(), (8, 32, 14, 14)),
    ):
        data = inputs(shape, torch.bfloat16, mean=100)
        case = f"{op.name} bf16 {'x'.join(map(str, shape))}, mean 100, std 1"
        errors(31, case, op, *data, ["dx", "dweight"])


def single_images():
    data = inputs((1, 32, 14, 14), torch.float32, layout=CHANNELS_LAST)
    case = "instance_norm f32 1x32x14x14 NHWC"
    errors(30, case, instance_norm(), *data, ["y", "dx", "dweight", "dbias"])


def other_bits(op, data):
    """How many entries of y, dx, dweight and dbias 1 and 2 threads give other bits."""
    both = []
    for function in (op.theirs, op.ours):
        sides = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            sides.append(results(function, *data))
        both.append(sum(int((sides[0][name] != sides[1][name]).sum()) for name in sides[0]))
    torch.set_num_threads(THREADS)
    return both


def reproducible():
    quantity = "entries of y and gradients that change with a 2nd thread"
    images = inputs((1, 64, 100, 100), torch.float32, layout=CHANNELS_LAST)
    for op, data, case in (
        (layer_norm(), inputs((512, 256), torch.float32), "layer_norm f32 512x256"),
        (group_norm(4), images, "group_norm f32 1x64x100x100 NHWC, 4 groups"),
        (batch_norm(), images, "batch_norm f32 1x64x100x100 NHWC"),
    ):
        compare(32, case, quantity, 0, *other_bits(op, data))
    x = torch.randn(16, 100000)
    changed = []
    for function in (F.rms_norm, ops.rms_norm):
        together = function(x, [100000], eps=1e-6)
        alone = torch.cat([function(x[i : i + 1], [100000], eps=1e-6) for i in range(16)])
        changed.append(int((together != alone).any(1).sum()))
    case = "rms_norm f32 16x100000"
    compare(32, case, "rows that change when they are alone", 0, *changed)


def long_batches():
    data = inputs((100000, 32), torch.float32)
    errors(33, "batch_norm f32 100000x32", batch_norm(), *data, ["y", "dx"])
    for value, shape, layout, name in (
        (-7.7, (100000, 4), torch.contiguous_format, "100000x4"),
        (1e6, (16, 4, 20, 20), CHANNELS_LAST, "16x4x20x20 NHWC"),
    ):
        x = torch.full(shape, value).contiguous(memory_format=layout)
        pair = [
            f(x, None, None).abs().max().item() for f in (batch_norm().theirs, batch_norm().ours)
        ]
        case = f"batch_norm f32 {name}, all {value:g}"
        compare(33, case, "largest magnitude in y", 0.0, *pair, tolerance=1e-6)


def extreme_numbers():
    for op, shape, size, eps in (
        (layer_norm(), (64, 512), 1e30, 1e-5),
        (None, (64, 512), 1e30, 1e-6),
        (group_norm(4), (8, 32, 14, 14), 1e30, 1e-5),
        (instance_norm(), (8, 32, 14, 14), 1e30, 1e-5),
        (batch_norm(), (8, 32, 14, 14), 1e30, 1e-5),
        (None, (64, 512), 1e-30, 0.0),
    ):
        x = torch.randn(shape) * size
        if op is None:
            name = "rms_norm"
            sides = [f(x, x.shape[1:], eps=eps) for f in (F.rms_norm, ops.rms_norm)]
        else:
            name = op.name
            sides = [f(x, None, None) for f in (op.theirs, op.ours)]
        pair = [y.double().square().mean().sqrt().item() for y in sides]
        number = 10 if name in ("layer_norm", "rms_norm") else 34
        case = f"{name} f32 {'x'.join(map(str, shape))}, std {size:g}" + (
            ", eps 0" if not eps else ""
        )
        compare(number, case, "root mean square of y", 1.0, *pair, tolerance=1e-3)


def edges():
    x = torch.randn(2, 32, 7, 7).contiguous(memory_format=CHANNELS_LAST)
    for op in (group_norm(4), instance_norm()):
        kept = [
            f(x, None, None).is_contiguous(memory_format=CHANNELS_LAST)
            for f in (op.theirs, op.ours)
        ]
        compare(17, f"{op.name} of NHWC", "y is NHWC", True, *kept)
    nn = (torch.nn, omninorm.nn)
    case = "BatchNorm1d(1, momentum=None), no rows, then the rows 1 and 3"
    means = []
    for module in nn:
        norm = module.BatchNorm1d(1, momentum=None)
        norm(torch.zeros(0, 1))
        means.append([norm.running_mean.item()])
        norm(torch.tensor([[1.0], [3.0]]))
        means[-1].append(norm.running_mean.item())
    first, last = zip(*means)
    compare(20, case, "running_mean after the first", 0.0, *first)
    compare(20, case, "running_mean, the average of all batches", 2.0, *last)
    norms = [module.InstanceNorm2d(3, affine=True) for module in nn]
    pair = [outcome(lambda norm=norm: norm(torch.zeros(0, 3, 2, 2))) for norm in norms]
    compare(35, "InstanceNorm2d(3, affine=True), no images", "call", "works", *pair)
    bias = torch.zeros(4, requires_grad=True)
    x = torch.randn(2, 4, 5, requires_grad=True)
    pair = [
        outcome(lambda f=f: f(x, None, bias).sum().backward())
        for f in (group_norm(2).theirs, group_norm(2).ours)
    ]
    compare(35, "group_norm with a bias and no weight, backward", "call", "works", *pair)
    refusal = "ValueError: [group_norm] expected num_groups to divide 4 channels, got 0"
    pair = [outcome(lambda module=module: module.GroupNorm(0, 4)) for module in nn]
    compare(35, "GroupNorm(0, 4)", "call", refusal, *pair)
    none = group_norm(0)
    pair = [outcome(lambda f=f: f(torch.randn(2, 4), None, None)) for f in (none.theirs, none.ours)]
    compare(21, "group_norm of 0 groups", "call", refusal, *pair)


def llama_gradients():
    data = inputs((512, 768), torch.bfloat16)
    errors(36, "Hugging Face's LlamaRMSNorm bf16 512x768", llama_norm(), *data, ["dx", "dweight"])


def table(rows):
    head = ["#", "case", "what", "right", "PyTorch", "omninorm"]
    cells = [head, ["---"] * len(head)] + [
        [str(row.number), row.case, row.quantity, row.right, row.theirs, row.ours] for row in rows
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def main():
    warnings.filterwarnings("ignore")
    torch.manual_seed(0)
    torch.set_num_threads(THREADS)
    for group in (
        far_from_zero,
        sums_in_bf16,
        statistics_in_bf16,
        single_images,
        reproducible,
        long_batches,
        extreme_numbers,
        edges,
        llama_gradients,
    ):
        group()
    ROWS.sort(key=lambda row: row.number)
    today = datetime.date.today()
    print(
        f"torch {torch.__version__}, omninorm {omninorm.__version__}, {THREADS} threads, {today}.\n"
    )
    print("PyTorch is wrong, or fails without saying why:\n")
    print(table([row for row in ROWS if not row.theirs_right]))
    print("\nPyTorch is right:\n")
    print(table([row for row in ROWS if row.theirs_right]))
    wrong = [row for row in ROWS if not row.ours_right]
    if wrong:
        print("\nomninorm is wrong:\n\n" + table(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
