"""The rest of the family: values, gradients, running statistics, layouts and tracing."""

import pytest
import torch
from family import CASES, Case, as_tuple
from norms import BACKENDS, UNIT, ops
from torch._dynamo.testing import CompileCounterWithBackend

FALLBACK = torch._C.DispatchKey.CompositeExplicitAutograd
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
ARITHMETIC = {torch.float64: 1e-13, torch.float32: 1e-5, torch.bfloat16: 1e-5, torch.float16: 1e-5}
PAIRS = [(dtype, dtype) for dtype in DTYPES] + [(torch.bfloat16, torch.float32)]


def check(got, expected, arithmetic):
    """Within one rounding of the result and what sums in fp32 (float64) lose."""
    expected = expected.double()
    scale = max(1.0, expected.abs().max().item()) if expected.numel() else 1.0
    bound = (
        UNIT[got.dtype] * expected.abs()
        + arithmetic * scale
        + 2.0**-25 * (got.dtype == torch.float16)
    )
    error = (got.double() - expected).abs()
    assert (error <= bound).all(), f"error over bound: {(error / bound).max().item():.2f}"


@pytest.mark.parametrize(("dtype", "affine"), PAIRS, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward_and_backward(case, dtype, affine):
    tensors = case.tensors(dtype, affine, requires_grad=True)
    outputs = as_tuple(case(tensors))
    gradients = [torch.randn_like(o) for o in outputs]
    got = torch.autograd.grad(outputs, tensors.values(), gradients)
    if case.adds:  # the norm is taken of the rounded sum
        rounded = tensors["x"] + tensors["residual"]
        assert torch.equal(outputs[1], rounded)
        exact = {**tensors, "x": rounded.detach(), "residual": torch.zeros_like(rounded)}
        values, grads = case.truth(exact, gradients)
    else:
        values, grads = case.truth(tensors, gradients)
    for value, expected in zip(outputs, values, strict=True):
        assert value.dtype == dtype and value.shape == case.x_shape
        check(value, expected, ARITHMETIC[dtype])
    for name, value in zip(tensors, got, strict=True):
        assert value.dtype == tensors[name].dtype
        check(value, grads[name], 4 * ARITHMETIC[dtype])


def call(case, names):
    def run(*tensors):
        return case(dict(zip(names, tensors, strict=True)))

    return run


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_of_gradients(case):
    tensors = case.tensors(torch.float64, requires_grad=True)
    arguments = call(case, tensors), tuple(tensors.values())
    assert torch.autograd.gradcheck(*arguments)
    assert torch.autograd.gradgradcheck(*arguments, fast_mode=True)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward_mode(case):
    tensors = case.tensors(torch.float64, requires_grad=True)
    options = {"check_forward_ad": True, "check_backward_ad": False}
    assert torch.autograd.gradcheck(call(case, tensors), tuple(tensors.values()), **options)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_double_backward_says_what_the_kernels_say(case, dtype):
    tensors = case.tensors(dtype, torch.float32, requires_grad=True)
    outputs = as_tuple(case(tensors))
    gradients = [torch.randn_like(o) for o in outputs]
    plain = torch.autograd.grad(outputs, tensors.values(), gradients, retain_graph=True)
    gradients = [g.requires_grad_() for g in gradients]
    graph = torch.autograd.grad(outputs, tensors.values(), gradients, create_graph=True)
    for one, two in zip(plain, graph, strict=True):
        assert two.requires_grad
        scale = max(one.double().abs().max().item(), 1.0)
        bound = 2 * UNIT[one.dtype] * one.double().abs() + 4e-5 * scale
        assert ((one.double() - two.double()).abs() <= bound).all()


def backward_arguments(case, tensors):
    """args and kwargs of op_backward, and what op_forward gave."""
    results = case(tensors, suffix="_forward")
    results = [r.detach() for r in results]
    leading = [results[1] if case.adds else tensors["x"]]
    arguments = leading + list(case.arguments) + [tensors.get("weight")]
    named = {}
    if case.op in ("group_norm", "instance_norm", "batch_norm"):
        arguments.append(tensors.get("bias"))
    if case.op in ("instance_norm", "batch_norm"):
        statistics = case.statistics() if case.evaluates else {}
        arguments += [statistics.get("running_mean"), statistics.get("running_var")]
    arguments += results[2 if case.adds else 1 :] + [torch.randn_like(results[0])]
    if case.adds:
        arguments.append(torch.randn_like(results[1]))
    named = {k: v for k, v in case.options.items() if k != "momentum"}
    named["output_mask"] = [True, case.weight, True]
    return tuple(arguments), named


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("suffix", ["", "_forward", "_backward"])
def test_opcheck(case, suffix):
    tensors = case.tensors(torch.float32, requires_grad=suffix != "_backward")
    if suffix == "_backward":
        args, kwargs = backward_arguments(case, tensors)
    else:
        args, kwargs = case.schema_arguments(tensors, **case.statistics())
    torch.library.opcheck(getattr(ops, case.op + suffix).default, args, kwargs)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.filterwarnings("ignore:omninorm..:UserWarning")
def test_fallback_says_what_the_kernel_says(case):
    tensors = case.tensors(torch.float32)
    kept = case.statistics(), case.statistics()
    args, _ = case.schema_arguments(tensors)
    forward = getattr(ops, case.op + "_forward").default
    kernel = forward(*args, **case.schema_arguments(tensors, **kept[0])[1])
    formulas = forward._op_dk(FALLBACK, *args, **case.schema_arguments(tensors, **kept[1])[1])
    args, kwargs = backward_arguments(case, tensors)
    backward = getattr(ops, case.op + "_backward").default
    kernel += backward(*args, **kwargs) + tuple(kept[0].values())
    formulas += backward._op_dk(FALLBACK, *args, **kwargs) + tuple(kept[1].values())
    for one, two in zip(kernel, formulas, strict=True):
        if one is None or two is None:
            assert one is two and not case.weight
            continue
        assert one.dtype == two.dtype and one.stride() == two.stride()
        torch.testing.assert_close(one, two, rtol=2e-5, atol=2e-5)


TRAINING = [c for c in CASES if c.running and not c.evaluates]


@pytest.mark.parametrize("case", TRAINING, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_running_statistics(case, dtype):
    kept = torch.float64 if dtype == torch.float64 else torch.float32
    ours, theirs = case.statistics(kept), case.statistics(torch.float64)
    for step in range(3):
        tensors = case.tensors(dtype)
        case(tensors, ours)
        case.reference({k: v.double() for k, v in tensors.items()}, theirs)
        if "num_batches_tracked" in theirs:
            theirs["num_batches_tracked"] += 1
            assert ours["num_batches_tracked"] == theirs["num_batches_tracked"]
        for name in ("running_mean", "running_var"):
            tolerance = 1e-12 if dtype == torch.float64 else 1e-5
            check(ours[name], theirs[name], tolerance)
        assert ours["running_mean"]._version == step + 1


def test_running_statistics_of_bfloat16_are_rounded_once():
    """A module in bfloat16 keeps its buffers in bfloat16."""
    x = torch.randn(16, 4, 5).bfloat16()
    narrow = [torch.zeros(4).bfloat16(), torch.ones(4).bfloat16()]
    wide = [t.float() for t in narrow]
    assert torch.equal(ops.batch_norm(x, None, None, *narrow), ops.batch_norm(x, None, None, *wide))
    assert all(torch.equal(a, b.bfloat16()) for a, b in zip(narrow, wide, strict=True))


def test_running_statistics_of_any_stride():
    x, both = torch.randn(16, 4), torch.zeros(4, 2)
    dense = [torch.zeros(4), torch.zeros(4)]
    ops.batch_norm(x, None, None, both[:, 0], both[:, 1])
    ops.batch_norm(x, None, None, *dense)
    assert torch.equal(both, torch.stack(dense, 1))


@pytest.mark.parametrize("op", ["batch_norm", "instance_norm"])
def test_an_empty_batch_leaves_running_statistics_alone(op):
    """pytorch #12013: NaN in running_mean."""
    x = torch.randn(0, 4, 5, requires_grad=True)
    mean, var = torch.ones(4), torch.ones(4)
    y = getattr(ops, op)(x, torch.ones(4), None, mean, var)
    y.sum().backward()
    assert x.grad.shape == x.shape
    assert torch.equal(mean, torch.ones(4)) and torch.equal(var, torch.ones(4))


def test_evaluation_notices_statistics_changed_before_backward():
    x, mean, var = torch.randn(4, 3, requires_grad=True), torch.zeros(3), torch.ones(3)
    y = ops.batch_norm(x, None, None, mean, var, training=False)
    ops.batch_norm(x, None, None, mean, var)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("op", ["add_rms_norm", "add_layer_norm"])
@pytest.mark.parametrize("used", [0, 1])
def test_only_one_result_is_used(op, used):
    case = Case(op, (4, 8), ([8],))
    tensors = case.tensors(torch.float32, requires_grad=True)
    got, truth = case(tensors)[used], case.reference(tensors)[used]
    dy = torch.randn(4, 8)
    grads = [torch.autograd.grad(t, tensors.values(), dy, allow_unused=True) for t in (got, truth)]
    for one, two in zip(*grads, strict=True):
        if two is None:
            assert one is None
        else:
            torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)


def channels_last(x):
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


LAYOUTS = {
    "channels last": channels_last,
    "every other image": lambda x: x.repeat_interleave(2, 0)[::2],
    "some channels": lambda x: torch.cat([x, x], 1)[:, : x.shape[1]],
    "some channels, channels last": lambda x: channels_last(torch.cat([x, x], 1))[:, : x.shape[1]],
    "transposed": lambda x: x.transpose(-1, -2).contiguous().transpose(-1, -2),
    "expanded": lambda x: x[:1].expand(x.shape),
}
LAID_OUT = [c for c in CASES if c.channels and len(c.x_shape) == 4]


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", LAID_OUT, ids=str)
def test_the_layout_of_x_is_the_layout_of_y(case, name, dtype):
    tensors = case.tensors(dtype, requires_grad=True)
    x = LAYOUTS[name](tensors["x"]).detach().requires_grad_()
    tensors["x"] = x
    y = case(tensors)
    for dy in (torch.randn_like(y), torch.randn(y.shape, dtype=dtype)):
        dx, *affine = torch.autograd.grad(y, tensors.values(), dy, retain_graph=True)
        assert y.stride() == dx.stride() == torch.empty_like(x).stride()
        (value,), grads = case.truth(tensors, [dy])
        check(y, value, ARITHMETIC[dtype])
        for got, expected in zip((dx, *affine), grads.values(), strict=True):
            check(got, expected, 4 * ARITHMETIC[dtype])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_compiles_in_one_graph(case):
    tensors = case.tensors(torch.bfloat16, torch.float32, requires_grad=True)
    kept = case.statistics(), case.statistics()
    torch._dynamo.reset()

    def run(tensors, statistics):
        outputs = as_tuple(case({**tensors, "x": tensors["x"] * 2}, statistics))
        return tuple(o.float() for o in outputs)

    got = torch.compile(run, backend="aot_eager", fullgraph=True)(tensors, kept[0])
    expected = run(tensors, kept[1])
    gradients = [torch.randn_like(o) for o in expected]
    results = [
        (*outputs, *torch.autograd.grad(outputs, tensors.values(), gradients))
        for outputs in (got, expected)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(kept[0].values(), kept[1].values(), strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_running_statistics_are_updated_in_a_compiled_graph(backend):
    case = Case("batch_norm", (4, 3, 5), running=True, options={"momentum": None})
    kept = case.statistics(), case.statistics()
    torch._dynamo.reset()
    compiled = torch.compile(case.__call__, backend=backend, fullgraph=True)
    for _ in range(2):
        tensors = case.tensors(torch.float32, requires_grad=True)
        got, expected = compiled(tensors, kept[0]), case(tensors, kept[1])
        torch.testing.assert_close(got, expected)
        for a, b in zip(kept[0].values(), kept[1].values(), strict=True):
            assert torch.equal(a, b)
    assert kept[0]["num_batches_tracked"] == 5


def norms_of_any_size(x, weight):
    y = ops.group_norm(x, 2, weight) + ops.grouped_layer_norm(x, 2, weight, per_position=True)
    y = ops.batch_norm(y, weight, activation="silu") + ops.instance_norm(x)
    return ops.add_layer_norm(x, y, x.shape[1:])[0]


def test_dynamic_shapes_compile_once():
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(norms_of_any_size, backend=counter, fullgraph=True, dynamic=True)
    for shape in [(3, 8, 7), (5, 12, 9), (17, 32, 31)]:
        inputs = [torch.randn(shape).requires_grad_(), torch.randn(shape[1]).requires_grad_()]
        got, expected = compiled(*inputs), norms_of_any_size(*inputs)
        dy = torch.randn(shape)
        grads = [torch.autograd.grad(y, inputs, dy) for y in (got, expected)]
        assert torch.equal(got, expected)
        assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))
    assert counter.frame_count == 1


def test_statistics_of_inference_mode_are_not_touched_outside_it():
    with torch.inference_mode():
        mean, var = torch.zeros(3), torch.ones(3)
    with pytest.raises(RuntimeError, match="inference"):
        ops.batch_norm(torch.randn(4, 3), None, None, mean, var)
    assert not mean.any()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_autocast_leaves_the_types_alone(case):
    tensors = case.tensors(torch.bfloat16, torch.float32)
    expected = as_tuple(case(tensors))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = as_tuple(case(tensors))
    assert all(a.dtype == torch.bfloat16 and torch.equal(a, b) for a, b in zip(got, expected))


X, IMAGE = torch.randn(4, 8), torch.randn(2, 6, 3)
ERRORS = [
    ("group_norm", (torch.randn(2, 30, 4), 4), {}, "num_groups to divide 30 channels, got 4"),
    ("group_norm", (IMAGE, 0), {}, "num_groups to divide 6 channels, got 0"),
    ("group_norm", (torch.ones(6), 2), {}, r"x of shape \[N, C\] or .*, got shape \[6\]"),
    ("group_norm", (IMAGE, 2, torch.ones(3)), {}, r"weight of shape \[6\], got \[3\]"),
    ("group_norm", (IMAGE, 2), {"activation": "gelu"}, "activation 'none', .*, got 'gelu'"),
    ("grouped_layer_norm", (X, 3), {}, "groups to divide 8 channels, got 3"),
    ("grouped_layer_norm", (X, 4), {}, "groups of 3 or more channels, got 2"),
    ("grouped_layer_norm", (X, 8), {"center": False}, "groups of 2 or more channels, got 1"),
    (
        "batch_norm",
        (torch.ones(1, 4),),
        {},
        r"more than 1 value per channel in training, got shape",
    ),
    ("instance_norm", (torch.ones(3, 4, 1),), {}, "more than 1 value per channel in training"),
    ("batch_norm", (IMAGE,), {"training": False}, "running_mean and running_var in evaluation"),
    ("batch_norm", (IMAGE,), {"running_mean": torch.ones(6)}, "running_mean and running_var toget"),
    (
        "batch_norm",
        (IMAGE,),
        {"running_mean": torch.ones(3), "running_var": torch.ones(3)},
        r"running_mean of shape \[6\], got \[3\]",
    ),
    (
        "batch_norm",
        (IMAGE,),
        {"running_mean": torch.ones(6).half(), "running_var": torch.ones(6)},
        "running_mean of type f32, got f16",
    ),
    ("batch_norm", (IMAGE,), {"momentum": 1.5}, "momentum between 0 and 1, got 1.5"),
    (
        "batch_norm",
        (IMAGE, None, None, torch.ones(6), torch.ones(6)),
        {"momentum": None},
        "num_batches_tracked for a cumulative average, got none",
    ),
    (
        "batch_norm",
        (IMAGE,),
        {"num_batches_tracked": torch.ones(2)},
        r"num_batches_tracked of one int64, got Float of shape \[2\]",
    ),
    ("add_rms_norm", (X, X[:2], [8]), {}, r"residual of shape \[4, 8\], got \[2, 8\]"),
    ("add_layer_norm", (X, X.double(), [8]), {}, "residual of type f32, got f64"),
]


def on(device, value):
    return value.to(device) if isinstance(value, torch.Tensor) else value


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(("op", "args", "kwargs", "message"), ERRORS, ids=[e[3] for e in ERRORS])
def test_errors(op, args, kwargs, message, device):
    args = [on(device, a) for a in args]
    kwargs = {k: on(device, v) for k, v in kwargs.items()}
    with pytest.raises(ValueError, match=rf"^\[{op}\] expected {message}"):
        getattr(ops, op)(*args, **kwargs)


ADDING = [c for c in CASES if c.adds]


def overwrite(case, x, residual, tensors):
    args, kwargs = case.schema_arguments({**tensors, "x": x, "residual": residual})
    return getattr(ops, case.op + "_")(*args, **kwargs)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", ADDING, ids=str)
def test_in_place_has_the_bits_of_the_other(case, dtype):
    tensors = case.tensors(dtype)
    y, total = case(tensors)
    x, residual = tensors["x"].clone(), tensors["residual"].clone()
    assert overwrite(case, x, residual, tensors) is None
    assert torch.equal(x, y) and torch.equal(residual, total)
    assert x._version == 1 and residual._version == 1
    # Rows that lie scattered are gathered first and written back.
    x, residual = (tensors[name].mT.contiguous().mT for name in ("x", "residual"))
    overwrite(case, x, residual, tensors)
    assert torch.equal(x, y) and torch.equal(residual, total)


@pytest.mark.parametrize("case", ADDING, ids=str)
@pytest.mark.filterwarnings("ignore:omninorm..:UserWarning")
def test_in_place_by_formulas(case):
    tensors = case.tensors(torch.float32)
    y, total = case(tensors)
    args, kwargs = case.schema_arguments(tensors)
    getattr(ops, case.op + "_").default._op_dk(FALLBACK, *args, **kwargs)
    torch.testing.assert_close(tensors["x"], y, rtol=2e-5, atol=2e-5)
    assert torch.equal(tensors["residual"], total)
    assert tensors["x"]._version > 0 and tensors["residual"]._version > 0
    with pytest.raises(ValueError, match="expected x to share no memory"):
        args, kwargs = case.schema_arguments({**tensors, "residual": tensors["x"]})
        getattr(ops, case.op + "_").default._op_dk(FALLBACK, *args, **kwargs)


@pytest.mark.parametrize("case", ADDING, ids=str)
def test_in_place_opcheck(case):
    args, kwargs = case.schema_arguments(case.tensors(torch.float32))
    torch.library.opcheck(getattr(ops, case.op + "_").default, args, kwargs)


@pytest.mark.parametrize("case", ADDING, ids=str)
def test_in_place_refuses_what_it_would_spoil(case):
    tensors = case.tensors(torch.float32, requires_grad=True)
    x, residual = tensors["x"].detach(), tensors["residual"].detach()
    kept = x.clone(), residual.clone()
    if case.weight:
        with pytest.raises(ValueError, match=f"{case.op}_. expected no gradient to be wanted"):
            overwrite(case, x, residual, tensors)
    with pytest.raises(ValueError, match="expected no gradient to be wanted"):
        overwrite(case, tensors["x"], residual, tensors)
    flat = x.flatten()
    expanded = x[..., :1].expand_as(x)
    scattered = flat.view(*case.x_shape[:-2], *case.x_shape[:-3:-1]).mT
    for one, other in [(x, x), (x, scattered), (scattered, x), (scattered, scattered)]:
        with torch.no_grad(), pytest.raises(ValueError, match="expected x to share no memory"):
            overwrite(case, one, other, tensors)
    with torch.no_grad(), pytest.raises(ValueError, match="expected elements of residual"):
        overwrite(case, residual, expanded, tensors)
    if case.weight:
        weight = flat[: tensors["weight"].numel()].view_as(tensors["weight"])
        with torch.no_grad(), pytest.raises(ValueError, match="no memory with weight"):
            overwrite(case, x, residual, {**tensors, "weight": weight})
    assert torch.equal(x, kept[0]) and torch.equal(residual, kept[1])
    assert x._version == 0 and residual._version == 0
    with torch.no_grad():
        overwrite(case, x, residual, tensors)
    assert not torch.equal(x, kept[0])
