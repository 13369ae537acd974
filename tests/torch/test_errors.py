"""Bad input: a clear error, from the CPU kernel, the Meta kernel and the fallback alike."""

import pytest
import torch
from norms import ops

X, W = torch.randn(4, 8), torch.ones(8)

FORWARD = [
    (
        {"normalized_shape": [7]},
        r"expected x whose last dimensions are \[7\], got x of shape \[4, 8\]",
    ),
    ({"normalized_shape": []}, "expected a normalized_shape of at least one dimension"),
    ({"normalized_shape": [2, 4, 8]}, r"got x of shape \[4, 8\]"),
    (
        {"x": torch.ones(4, 8, dtype=torch.int64)},
        "expected x of type f32, bf16, f16 or f64, got Long",
    ),
    ({"x": X.to_sparse()}, "expected x strided"),
    (
        {"x": torch.ones(1, 1, 1, 1, 1, 1, 1, 2, 8)},
        r"expected x of at most 8 dimensions .*, got 9 dimensions",
    ),
    ({"weight": torch.ones(7)}, r"expected weight of shape \[8\], got \[7\]"),
    ({"bias": torch.ones(8, 1)}, r"expected bias of shape \[8\], got \[8, 1\]"),
    ({"weight": W.double()}, "expected weight of type f32 for f32 x, got f64"),
    (
        {"x": X.bfloat16(), "weight": W.half()},
        "expected weight of type bf16 or f32 for bf16 x, got f16",
    ),
    (
        {"x": X.bfloat16(), "weight": W, "bias": W.bfloat16()},
        "expected bias, like weight, of type f32",
    ),
    ({"dtype": torch.bfloat16}, "expected dtype f32, x's, got bf16"),
    ({"x": X.bfloat16(), "dtype": torch.float32}, "expected dtype bf16, x's, got f32"),
    ({"eps": -1.0}, "expected eps >= 0 and finite, got -1"),
    ({"eps": float("nan")}, "expected eps >= 0 and finite, got nan"),
    ({"weight_offset": float("inf")}, "expected a finite weight_offset, got inf"),
    (
        {"cast_policy": "before"},
        "expected cast_policy 'after_weight' or 'before_weight', got 'before'",
    ),
]


def on(device, value):
    return value.to(device) if isinstance(value, torch.Tensor) and not value.is_sparse else value


@pytest.mark.parametrize("op", ["rms_norm", "layer_norm"])
@pytest.mark.parametrize("where", ["cpu", "meta", "fallback"])
@pytest.mark.parametrize(("change", "message"), FORWARD, ids=[m for _, m in FORWARD])
def test_forward(op, where, change, message):
    device = "meta" if where == "meta" else "cpu"
    arguments = {"x": X, "normalized_shape": [8]} | change
    arguments = {name: on(device, value) for name, value in arguments.items()}
    run = getattr(ops, op)
    if where == "fallback":

        def run(**arguments):
            default = getattr(ops, op + "_forward").default
            return default._op_dk(torch._C.DispatchKey.CompositeExplicitAutograd, **arguments)

    with pytest.raises(ValueError, match=rf"^\[{op}\] {message}|^\[{op}\].*{message}"):
        run(**arguments)


@pytest.mark.parametrize("partial", [0.0, -0.5, 1.5, 0.1])
def test_partial(partial):
    """int(8 * 0.1) is no entry at all."""
    with pytest.raises(ValueError, match=r"^\[rms_norm\] expected partial"):
        ops.rms_norm(X, [8], partial=partial)


BACKWARD = [
    ({"dy": torch.ones(8, 4)}, r"expected dy of shape \[4, 8\], got \[8, 4\]"),
    ({"dy": X.double()}, "expected dy of type f32, got f64"),
    ({"rstd": torch.ones(5)}, r"expected rstd of shape \[4\], got \[5\]"),
    ({"rstd": torch.ones(4, dtype=torch.float64)}, "expected rstd of type f32, got f64"),
    ({"affine_dtype": torch.float16}, "expected affine_dtype of type f32 for f32 x, got f16"),
    (
        {"x": X.bfloat16(), "dy": X.bfloat16(), "affine_dtype": torch.bfloat16},
        "expected affine_dtype, like weight, of type f32, got bf16",
    ),
    ({"weight": torch.ones(3)}, r"expected weight of shape \[8\], got \[3\]"),
    ({"weight": None}, "expected a weight where dweight is asked for, got none"),
]


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(("change", "message"), BACKWARD, ids=[m for _, m in BACKWARD])
def test_backward(device, change, message):
    arguments = {
        "x": X,
        "normalized_shape": [8],
        "weight": W,
        "rstd": torch.ones(4),
        "dy": X,
    } | change
    arguments = {name: on(device, value) for name, value in arguments.items()}
    with pytest.raises(ValueError, match=rf"^\[rms_norm\] {message}"):
        ops.rms_norm_backward(**arguments)


def test_another_device():
    with pytest.raises(
        ValueError, match=r"expected weight strided \(dense\) and on cpu, got .* on meta"
    ):
        ops.rms_norm(X, [8], W.to("meta"))
