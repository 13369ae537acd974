"""torch.library.opcheck, torch.compile and the fallback."""

import re
import warnings

import pytest
import torch
from norms import BACKENDS, CASES, Case, ops
from torch._dynamo.testing import CompileCounterWithBackend

FALLBACK = torch._C.DispatchKey.CompositeExplicitAutograd


def backward_arguments(case, x, weight):
    y, *statistics = getattr(ops, case.op + "_forward")(x, case.shape, weight, **case.options)
    statistics = [s.detach() for s in statistics]
    return (x, case.shape, weight, *statistics, torch.randn_like(y).requires_grad_())


# One of each kind: opcheck traces each several times.
OPCHECKED = [c for c in CASES if len(c.x_shape) < 4 or c.dims == 3]


@pytest.mark.parametrize("case", OPCHECKED, ids=str)
@pytest.mark.parametrize("suffix", ["", "_forward", "_backward"])
@pytest.mark.parametrize("grad", [False, True])
def test_opcheck(case, suffix, grad):
    x, weight, bias = case.tensors(torch.float32, requires_grad=grad)
    arguments, options = (x, case.shape, weight, bias), dict(case.options)
    if suffix == "_backward":
        arguments = backward_arguments(case, x, weight)
        options["output_mask"] = [True, case.weight, True]
        if not grad:
            arguments = tuple(a.detach() if isinstance(a, torch.Tensor) else a for a in arguments)
    torch.library.opcheck(getattr(ops, case.op + suffix).default, arguments, options)


@pytest.mark.parametrize("op", ["rms_norm", "layer_norm"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_opcheck_of_other_types_and_layouts(op, dtype):
    case = Case(op, (2, 4, 5, 6), 3)
    affine = torch.float64 if dtype == torch.float64 else torch.float32
    x, weight, bias = case.tensors(dtype, affine)
    x = x.to(memory_format=torch.channels_last).requires_grad_()
    for options in ({}, {"dtype": affine}):
        torch.library.opcheck(getattr(ops, op).default, (x, case.shape, weight, bias), options)


@pytest.mark.parametrize("op", ["rms_norm", "layer_norm"])
def test_opcheck_of_masks(op):
    case = Case(op, (4, 8))
    x, weight, _ = case.tensors(torch.float32)
    arguments = [
        t.detach() if isinstance(t, torch.Tensor) else t
        for t in backward_arguments(case, x, weight)
    ]
    for mask in ([True, False, False], [False, True, True]):
        torch.library.opcheck(
            getattr(ops, op + "_backward").default, tuple(arguments), {"output_mask": mask}
        )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("op", ["rms_norm", "layer_norm"])
def test_torchtitan_199_compiles_in_one_graph(op, backend):
    case = Case(op, (6, 32))
    tensors = case.tensors(torch.bfloat16, torch.float32, requires_grad=True)
    dy = torch.randn(6, 32)

    def run(x, weight, bias):
        return (case(x.tanh(), weight, bias) * 2).float()

    torch._dynamo.reset()
    compiled = torch.compile(run, backend=backend, fullgraph=True)
    expected, got = run(*tensors), compiled(*tensors)
    # inductor keeps tanh in fp32 where eager rounds it.
    close = {"rtol": 0, "atol": 0} if backend == "aot_eager" else {"rtol": 2e-2, "atol": 4e-2}
    torch.testing.assert_close(got, expected, **close)
    for a, b in zip(
        torch.autograd.grad(got, tensors, dy),
        torch.autograd.grad(expected, tensors, dy),
        strict=True,
    ):
        torch.testing.assert_close(a, b, **close)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(300, 96), (5, 4099), (2, 3, 1)], ids=str)
def test_pytorch_193061_compiled_backward_is_right(shape, backend):
    """A compiled layer_norm's backward was silently wrong there: here against float64."""
    case = Case("layer_norm", shape)
    tensors = case.tensors(torch.float32, requires_grad=True)
    dy = torch.randn(shape)
    torch._dynamo.reset()
    y = torch.compile(case, backend=backend, fullgraph=True)(*tensors)
    got = torch.autograd.grad(y, tensors, dy)
    for value, truth in zip((y, *got), case.truth(*tensors, dy), strict=True):
        # fp32 sums of up to 4,099 terms: 72 u of the largest entry.
        scale = max(1.0, truth.abs().max().item())
        torch.testing.assert_close(value.double(), truth, rtol=0, atol=72 * 2.0**-24 * scale)


@pytest.mark.parametrize("op", ["rms_norm", "layer_norm"])
def test_dynamic_shapes_compile_once(op):
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")

    def run(x, weight, bias):
        return getattr(ops, op)(x, [x.shape[-1]], weight, bias).sum()

    compiled = torch.compile(run, backend=counter, fullgraph=True, dynamic=True)
    for rows, width in [(4, 8), (7, 24), (1031, 100)]:
        tensors = [torch.randn(rows, width), torch.randn(width), torch.randn(width)]
        tensors = [t.requires_grad_() for t in tensors]
        got, expected = compiled(*tensors), run(*tensors)
        assert torch.equal(got, expected)
        grads = torch.autograd.grad(got, tensors), torch.autograd.grad(expected, tensors)
        assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))
    assert counter.frame_count == 1


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.filterwarnings("ignore:omninorm..:UserWarning")
def test_fallback_says_what_the_kernel_says(case, dtype):
    x, weight, bias = case.tensors(dtype)
    forward = getattr(ops, case.op + "_forward").default
    backward = getattr(ops, case.op + "_backward").default
    arguments = (x, case.shape, weight, bias)
    kernel, formulas = (
        forward(*arguments, **case.options),
        forward._op_dk(FALLBACK, *arguments, **case.options),
    )
    arguments = (x, case.shape, weight, *kernel[1:], torch.randn_like(x))
    mask = {"output_mask": [True, case.weight, True]}
    kernel += backward(*arguments, **case.options, **mask)
    formulas += backward._op_dk(FALLBACK, *arguments, **case.options, **mask)
    for one, two in zip(kernel, formulas, strict=True):
        if one is None or two is None:
            assert one is two and not case.weight
            continue
        assert one.dtype == two.dtype and one.stride() == two.stride()
        # One unit in the last place, where two fp32 results straddle a rounding boundary.
        rtol = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 2.0**-7}[one.dtype]
        atol = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 2e-5}[one.dtype]
        torch.testing.assert_close(one, two, rtol=rtol, atol=atol)


def test_fallback_keeps_the_layout():
    x = torch.randn(2, 4, 5, 6).to(memory_format=torch.channels_last)[:, :, 1:]
    for layout in (x, x.transpose(1, 2), x.expand(2, 4, 4, 6)):
        y, _ = ops.rms_norm_forward.default._op_dk(FALLBACK, layout, layout.shape[1:])
        assert y.stride() == torch.empty_like(layout).stride()


def test_every_op_without_a_kernel_says_so():
    """The warning is said once in a process: tests/torch/runtime_test.cc counts it."""
    table = torch._C._dispatch_dump_table("omninorm::rms_norm_forward")
    for device in ("CUDA", "XPU", "MPS", "PrivateUse1"):
        assert re.search(rf"^{device}:.*\[default backend kernel\]", table, re.MULTILINE), device
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ops.rms_norm(torch.randn(2, 4), [4])
