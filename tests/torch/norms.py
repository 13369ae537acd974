"""Plain formulas for the row norms, and the cases that several test files go through."""

import shutil
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

ops = torch.ops.omninorm

# Largest relative error of one rounding to nearest.
UNIT = {
    torch.float64: 2.0**-53,
    torch.float32: 2.0**-24,
    torch.bfloat16: 2.0**-8,
    torch.float16: 2.0**-11,
}


def inductor_can_run():
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    return shutil.which("g++") is not None and header.exists()


BACKENDS = [
    "aot_eager",
    pytest.param(
        "inductor",
        marks=pytest.mark.skipif(
            not inductor_can_run(), reason="inductor compiles C++ here: needs g++ and Python.h"
        ),
    ),
]


def formula(op, x, shape, weight=None, bias=None, eps=1e-5, weight_offset=0.0, partial=1.0):
    """The norm in the type of x, from ATen operations; differentiable."""
    dims = len(shape)
    rows = x.flatten(-dims)
    if op == "layer_norm":
        rows = rows - rows.mean(-1, keepdim=True)
    part = rows[..., : int(rows.shape[-1] * partial)]
    rows = rows * torch.rsqrt(part.square().mean(-1, keepdim=True) + eps)
    y = rows.view(x.shape)
    if weight is not None:
        y = y * (weight.to(x.dtype) + weight_offset)
    return y if bias is None else y + bias.to(x.dtype)


@dataclass
class Case:
    op: str
    x_shape: tuple
    dims: int = 1
    weight: bool = True
    bias: bool = True
    options: dict = field(default_factory=dict)

    @property
    def shape(self):
        return self.x_shape[len(self.x_shape) - self.dims :]

    @property
    def eps(self):
        return self.options.get("eps", 1e-6 if self.op == "rms_norm" else 1e-5)

    def __str__(self):
        parts = [self.op, "x".join(map(str, self.x_shape)), f"last{self.dims}"]
        parts += [name for name in ("weight", "bias") if getattr(self, name)]
        return "-".join(parts + [f"{k}={v}" for k, v in self.options.items()])

    def tensors(self, dtype, affine_dtype=None, requires_grad=False):
        """x, weight, bias; None for what the case leaves out."""
        affine_dtype = affine_dtype or dtype

        def make(shape, kind):
            return torch.randn(shape, dtype=torch.float64).to(kind).requires_grad_(requires_grad)

        return (
            make(self.x_shape, dtype),
            make(self.shape, affine_dtype) if self.weight else None,
            make(self.shape, affine_dtype) if self.bias else None,
        )

    def __call__(self, x, weight=None, bias=None, **more):
        return getattr(ops, self.op)(x, self.shape, weight, bias, **self.options, **more)

    def formula(self, x, weight=None, bias=None):
        options = {k: v for k, v in self.options.items() if k != "cast_policy"}
        return formula(self.op, x, self.shape, weight, bias, **{"eps": self.eps, **options})

    def truth(self, x, weight, bias, dy):
        """y, dx, dweight, dbias in float64 from the same inputs; None where not given."""
        inputs = [
            None if t is None else t.detach().double().requires_grad_() for t in (x, weight, bias)
        ]
        y = self.formula(*inputs)
        given = [t for t in inputs if t is not None]
        grads = iter(torch.autograd.grad(y, given, dy.double()))
        return [y.detach()] + [None if t is None else next(grads) for t in inputs]


CASES = [
    Case(op, x_shape, dims, weight, bias, options)
    for op in ("rms_norm", "layer_norm")
    for x_shape, dims, weight, bias, options in [
        ((7, 33), 1, True, True, {}),
        ((7, 33), 1, True, False, {}),
        ((7, 33), 1, False, True, {}),
        ((7, 33), 1, False, False, {}),
        ((33,), 1, True, True, {}),
        ((2, 3, 4, 5), 1, True, True, {"eps": 1e-3}),
        ((2, 3, 4, 5), 2, True, True, {}),
        ((2, 3, 4, 5), 3, True, True, {"weight_offset": 1.0}),
        ((3, 1), 1, True, True, {"eps": 0.5}),
        ((3, 64), 1, True, True, {"cast_policy": "before_weight"}),
    ]
] + [
    Case("rms_norm", (5, 40), 1, True, True, {"partial": 0.3}),
    Case("rms_norm", (2, 4, 10), 2, False, False, {"partial": 0.0625, "eps": 1e-2}),
]
