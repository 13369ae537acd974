"""Values against float64 formulas, PyTorch's own ops and Hugging Face's formulas."""

import pytest
import torch
import torch.nn.functional as F
from norms import CASES, UNIT, Case, formula, ops

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]

# What fp32 (float64 for float64) arithmetic may add to the rounding of a result, relative to the
# largest entry: a few units times the square root of the width.
ARITHMETIC = {torch.float64: 1e-14, torch.float32: 2e-6, torch.bfloat16: 2e-6, torch.float16: 2e-6}


def check(got, expected, arithmetic, roundings=1):
    expected = expected.to(torch.float64)
    scale = max(1.0, expected.abs().max().item()) if expected.numel() else 1.0
    bound = roundings * UNIT[got.dtype] * expected.abs() + arithmetic * scale
    if got.dtype == torch.float16:
        bound = bound + 2.0**-25  # half the spacing of subnormals
    error = (got.double() - expected).abs()
    assert (error <= bound).all(), f"error over bound: {(error / bound).max().item():.2f}"


# Types of x and of the weight.
PAIRS = [(dtype, dtype) for dtype in DTYPES] + [
    (torch.bfloat16, torch.float32),
    (torch.float16, torch.float32),
]
# before_weight rounds 16-bit values twice on purpose: test_llama_formula holds it to its formula.
ONE_ROUNDING = [
    (case, *pair)
    for case in CASES
    for pair in PAIRS
    if "cast_policy" not in case.options or pair[0].itemsize > 2
]


@pytest.mark.parametrize(("case", "dtype", "affine"), ONE_ROUNDING, ids=str)
def test_forward_and_backward(case, dtype, affine):
    tensors = case.tensors(dtype, affine, requires_grad=True)
    y = case(*tensors)
    assert y.dtype == dtype and y.shape == case.x_shape
    dy = torch.randn_like(y)
    given = [t for t in tensors if t is not None]
    got = torch.autograd.grad(y, given, dy)
    truth = [t for t in case.truth(*tensors, dy) if t is not None]
    for value, expected, tensor in zip((y, *got), truth, (tensors[0], *given), strict=True):
        assert value.dtype == tensor.dtype
        check(value, expected, ARITHMETIC[dtype] * 4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_pytorch_agrees(dtype):
    x = torch.randn(5, 96, dtype=dtype)
    weight, bias = torch.randn(96, dtype=dtype), torch.randn(96, dtype=dtype)
    close = {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(
        ops.layer_norm(x, [96], weight, bias), F.layer_norm(x, [96], weight, bias), **close
    )
    torch.testing.assert_close(
        ops.rms_norm(x, [96], weight, eps=1e-5), F.rms_norm(x, [96], weight, eps=1e-5), **close
    )


def llama(x, weight, eps):
    """transformers/models/llama/modeling_llama.py, LlamaRMSNorm.forward"""
    input_dtype = x.dtype
    x = x.to(torch.float32)
    variance = x.pow(2).mean(-1, keepdim=True)
    x = x * torch.rsqrt(variance + eps)
    return weight * x.to(input_dtype)


def gemma(x, weight, eps):
    """transformers/models/gemma/modeling_gemma.py, GemmaRMSNorm.forward"""
    output = x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + eps)
    return (output * (1.0 + weight.float())).type_as(x)


def agrees_but_for_ties(got, expected):
    """Equal, but where two fp32 results fell on different sides of a rounding boundary."""
    assert got.dtype == expected.dtype
    check(got, expected.double(), 0.0, roundings=2.01)
    assert (got == expected).double().mean() > 0.99


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_llama_formula(dtype):
    x, weight = torch.randn(64, 512).to(dtype), torch.randn(512).to(dtype)
    options = {"eps": 1e-6, "cast_policy": "before_weight"}
    got = ops.rms_norm(x, [512], weight, **options)
    if dtype == torch.float32:
        torch.testing.assert_close(got, llama(x, weight, 1e-6), rtol=1e-6, atol=1e-6)
        return
    agrees_but_for_ties(got, llama(x, weight, 1e-6))
    # With a float32 weight the formula promotes: that is dtype=torch.float32 here.
    wide = ops.rms_norm(x, [512], weight.float(), dtype=torch.float32, **options)
    agrees_but_for_ties(wide.to(dtype), llama(x, weight.float(), 1e-6).to(dtype))
    assert (ops.rms_norm(x, [512], weight, eps=1e-6) != got).any(), "the policies must differ"


def test_hugging_face_llama_gradients_are_rounded_once():
    """Its class rounds at every step of autograd, where a result needs one rounding."""
    x, weight = torch.randn(256, 1024).bfloat16(), torch.randn(1024).bfloat16()
    dy = torch.randn(256, 1024).bfloat16()
    exact = x.double().requires_grad_()
    x_hat = formula("rms_norm", exact, [1024], eps=1e-6)
    (truth,) = torch.autograd.grad(x_hat, exact, dy.double() * weight.double())

    def dx_of(norm):
        leaf = x.clone().requires_grad_()
        return torch.autograd.grad(norm(leaf), leaf, dy)[0]

    check(
        dx_of(lambda t: ops.rms_norm(t, [1024], weight, cast_policy="before_weight")), truth, 1e-5
    )
    with pytest.raises(AssertionError, match="error over bound"):
        check(dx_of(lambda t: llama(t, weight, 1e-6)), truth, 1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_gemma_formula(dtype):
    x, weight = torch.randn(64, 512).to(dtype), (0.3 * torch.randn(512)).to(dtype)
    got = ops.rms_norm(x, [512], weight, eps=1e-6, weight_offset=1.0)
    if dtype == torch.float32:
        torch.testing.assert_close(got, gemma(x, weight, 1e-6), rtol=1e-6, atol=1e-6)
    else:
        agrees_but_for_ties(got, gemma(x, weight, 1e-6))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_before_weight_gradients(dtype):
    """dweight uses the rounded value, dx passes the rounding straight through."""
    x, weight, dy = torch.randn(32, 64).to(dtype), torch.randn(64).to(dtype), torch.randn(32, 64)
    dy = dy.to(dtype)
    inputs = [x.clone().requires_grad_(), weight.clone().requires_grad_()]
    y = ops.rms_norm(inputs[0], [64], inputs[1], cast_policy="before_weight")
    dx, dweight = torch.autograd.grad(y, inputs, dy)
    exact = x.double().requires_grad_()
    x_hat = formula("rms_norm", exact, [64], eps=1e-6)
    check(dx, torch.autograd.grad(x_hat, exact, dy.double() * weight.double())[0], 1e-5)
    check(dweight, (dy.double() * x_hat.to(dtype).double()).sum(0), 1e-5)


@pytest.mark.parametrize("op", ["rms_norm", "layer_norm"])
def test_output_dtype(op):
    case = Case(op, (4, 32))
    x, weight, bias = case.tensors(torch.bfloat16, torch.float32)
    y = case(x, weight, bias, dtype=torch.float32)
    assert y.dtype == torch.float32
    check(y, case.truth(x, weight, bias, y)[0], 4e-6)
    assert torch.equal(y.bfloat16(), case(x, weight, bias))
    x.requires_grad_()
    dy = torch.randn(4, 32)
    case(x, weight, bias, dtype=torch.float32).backward(dy)
    assert x.grad.dtype == torch.bfloat16
    check(x.grad, case.truth(x, weight, bias, dy)[1], 4e-6)


@pytest.mark.parametrize("op", ["rms_norm", "layer_norm"])
def test_autocast_leaves_the_mixed_kernel_alone(op):
    """bf16 x with float32 weight is one kernel already; the result has x's type."""
    case = Case(op, (4, 32))
    for dtype in (torch.bfloat16, torch.float32):
        tensors = case.tensors(dtype, torch.float32)
        expected = case(*tensors)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = case(*tensors)
        assert y.dtype == dtype and torch.equal(y, expected)


LAYOUTS = {
    "transposed heads": (
        (2, 3, 5, 16),
        1,
        lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
    ),
    "slice of qkv": ((4, 6, 16), 1, lambda x: torch.cat([x, x, x], -1)[..., 16:32]),
    "every other row": ((4, 16), 1, lambda x: x.repeat_interleave(2, 0)[::2]),
    "every other column": ((4, 16), 1, lambda x: x.repeat_interleave(2, 1)[:, ::2]),
    "columns": ((8, 16), 1, lambda x: x.t().contiguous().t()),
    "channels last": ((2, 4, 5, 6), 3, lambda x: x.to(memory_format=torch.channels_last)),
    "channels last, last dim": (
        (2, 4, 5, 6),
        1,
        lambda x: x.to(memory_format=torch.channels_last),
    ),
    "expanded": ((4, 16), 1, lambda x: x[:1].expand(4, 16)),
    "misaligned": ((4, 16), 1, lambda x: torch.cat([x.new_zeros(3), x.flatten()])[3:].view(4, 16)),
}


@pytest.mark.parametrize("op", ["rms_norm", "layer_norm"])
@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_any_layout_gives_the_same_bits(op, name, dtype):
    x_shape, dims, lay_out = LAYOUTS[name]
    case = Case(op, x_shape, dims)
    x, weight, bias = case.tensors(dtype)
    strided = lay_out(x)
    dense = strided.contiguous(memory_format=torch.contiguous_format)
    dy = torch.randn_like(dense)
    results = []
    for tensor in (strided, dense):
        inputs = [t.detach().requires_grad_() for t in (tensor, weight, bias)]
        y = case(*inputs)
        results.append((y, *torch.autograd.grad(y, inputs, dy)))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    y, dx = results[0][:2]
    assert y.stride() == torch.empty_like(strided).stride()
    assert dx.stride() == torch.empty_like(strided).stride()


def test_channels_last_stays_channels_last():
    x = torch.randn(2, 4, 5, 6).to(memory_format=torch.channels_last)
    y = ops.layer_norm(x, [4, 5, 6], torch.randn(4, 5, 6), torch.randn(4, 5, 6))
    assert y.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("op", ["rms_norm", "layer_norm"])
def test_weights_of_any_stride(op):
    case = Case(op, (4, 6, 8), 2)
    x, weight, bias = case.tensors(torch.float32)
    expected = case(x, weight, bias)
    strided = case(x, weight.t().contiguous().t(), torch.stack([bias, bias], -1)[..., 0])
    assert torch.equal(strided, expected)
    assert torch.equal(
        case(x, weight[:1].expand(6, 8), bias), case(x, weight[:1].repeat(6, 1), bias)
    )


@pytest.mark.parametrize("op", ["rms_norm", "layer_norm"])
@pytest.mark.parametrize("x_shape", [(0, 8), (3, 0, 8), (0,), (3, 0)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_nothing_to_do(op, x_shape, dtype):
    case = Case(op, x_shape)
    tensors = case.tensors(dtype, requires_grad=True)
    y = case(*tensors)
    assert y.shape == x_shape
    y.sum().backward()
    for tensor in tensors:
        assert tensor.grad.shape == tensor.shape and not tensor.grad.any()


@pytest.mark.parametrize("op", ["rms_norm", "layer_norm"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_number_of_threads_does_not_change_a_bit(op, dtype):
    case = Case(op, (1031, 96))
    tensors = case.tensors(dtype, torch.float32, requires_grad=True)
    dy = torch.randn(1031, 96).to(dtype)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            y = case(*tensors)
            results.append((y, *torch.autograd.grad(y, tensors, dy)))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


# x, and eps
HARD = {
    "large": lambda: (torch.randn(4, 64) * 1e30, 0.0),
    "small": lambda: (torch.randn(4, 64) * 1e-30, 0.0),
    "largest": lambda: (torch.where(torch.rand(4, 64) < 0.3, -3.4e38, 3.3e38), 0.0),
    "subnormal": lambda: (torch.randn(4, 64) * 1e-40, 0.0),
    "subnormal beside eps": lambda: (torch.randn(4, 64) * 1e-40, 1e-5),
    "mean 2000": lambda: ((2000 + torch.randn(64, 1000, dtype=torch.float64)).float(), 1e-5),
}


def on_kernel(op, *arguments, **options):
    return getattr(ops, op)(*arguments, **options)


def on_fallback(op, *arguments, **options):
    key = torch._C.DispatchKey.CompositeExplicitAutograd
    return getattr(ops, op).default._op_dk(key, *arguments, **options)


@pytest.mark.parametrize("op", ["rms_norm", "layer_norm"])
@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("run", [on_kernel, on_fallback])
def test_hard_inputs(op, kind, run):
    """No square overflows or vanishes, and no digits of the deviations are lost to the mean."""
    x, eps = HARD[kind]()
    case = Case(op, x.shape, weight=False, bias=False, options={"eps": eps})
    y = run(op + "_forward", x, case.shape, eps=eps)[0]
    check(y, case.formula(x.double()), 4e-6)


@pytest.mark.parametrize("op", ["rms_norm", "layer_norm"])
@pytest.mark.parametrize("kind", ["large", "subnormal beside eps", "mean 2000"])
def test_gradients_of_the_fallback_on_hard_inputs(op, kind):
    x, eps = HARD[kind]()
    case = Case(op, x.shape, weight=False, bias=False, options={"eps": eps})
    # Along x_hat, so that an error in x_hat reaches dx undiminished.
    dy = torch.randn_like(x) + case.formula(x.double()).float()
    saved = on_fallback(op + "_forward", x, case.shape, eps=eps)[1:]
    options = {"eps": eps, "output_mask": [True, False, False]}
    got = on_fallback(op + "_backward", x, case.shape, None, *saved, dy, **options)[0]
    truth = case.truth(x, None, None, dy)[1]
    size = truth.abs().max()  # 1e-30 for large x
    check((got.double() / size).float(), truth / size, 1e-5)


@pytest.mark.parametrize("op", ["rms_norm", "layer_norm"])
@pytest.mark.parametrize("run", [on_kernel, on_fallback])
def test_statistics_of_no_columns(op, run):
    """The mean is 0 and the variance is 0, as empty sums are, and not NaN."""
    _, *mean, rstd = run(op + "_forward", torch.ones(3, 0), [0], eps=0.25)
    assert torch.equal(rstd, torch.full((3,), 2.0))
    assert all(torch.equal(m, torch.zeros(3)) for m in mean)
