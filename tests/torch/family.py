"""The norms beside rms_norm and layer_norm: cases, and what PyTorch's own ops say of them."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from norms import ops

NAMES = ("x", "residual", "weight", "bias")


@dataclass
class Case:
    """`arguments`: what stands between the tensors of the schema, e.g. num_groups."""

    op: str
    x_shape: tuple
    arguments: tuple = ()
    weight: bool = True
    bias: bool = True
    running: bool = False
    options: dict = field(default_factory=dict)

    def __str__(self):
        parts = [self.op, "x".join(map(str, self.x_shape)), *map(str, self.arguments)]
        parts += [name for name in ("weight", "bias", "running") if getattr(self, name)]
        return "-".join(parts + [f"{k}={v}" for k, v in self.options.items()]).replace(" ", "")

    @property
    def adds(self):
        return self.op.startswith("add_")

    @property
    def channels(self):
        """x is [N, C, spatial...]"""
        return not self.adds and not (
            self.op == "grouped_layer_norm" and not self.options.get("per_position")
        )

    @property
    def evaluates(self):
        return self.options.get("use_running") or not self.options.get("training", True)

    @property
    def eps(self):
        return self.options.get("eps", 1e-6 if self.op == "add_rms_norm" else 1e-5)

    def tensors(self, dtype, affine_dtype=None, requires_grad=False):
        """By name, in the order of the schema; without what the case leaves out."""
        if self.adds:
            affine = self.arguments[0]
        else:
            affine = self.x_shape[1:2] if self.channels else self.x_shape[-1:]
        shapes = {"x": self.x_shape, "residual": self.x_shape, "weight": affine, "bias": affine}
        result = {}
        for name in NAMES:
            if name == "residual" and not self.adds or name in ("weight", "bias"):
                if name == "residual" or not getattr(self, name):
                    continue
            kind = dtype if name in ("x", "residual") else affine_dtype or dtype
            value = torch.randn(shapes[name], dtype=torch.float64).to(kind)
            result[name] = value.requires_grad_(requires_grad)
        return result

    def statistics(self, dtype=torch.float32):
        """Running statistics that are not those of a fresh module."""
        if not self.running:
            return {}
        channels = self.x_shape[1]
        result = {
            "running_mean": torch.linspace(-1, 1, channels, dtype=dtype),
            "running_var": torch.linspace(0.5, 2, channels, dtype=dtype),
        }
        if self.op == "batch_norm":
            result["num_batches_tracked"] = torch.tensor(3)
        return result

    def schema_arguments(self, tensors, suffix="", **more):
        """args and kwargs of op, op_forward."""
        leading = [tensors["x"]] + ([tensors["residual"]] if self.adds else [])
        named = {k: v for k, v in tensors.items() if k in ("weight", "bias")}
        return (*leading, *self.arguments), {**named, **self.options, **more}

    def __call__(self, tensors, statistics=None, suffix="", **more):
        if statistics is None:
            statistics = self.statistics(
                torch.float64 if tensors["x"].dtype == torch.float64 else torch.float32
            )
        args, kwargs = self.schema_arguments(tensors, **statistics, **more)
        return getattr(ops, self.op + suffix)(*args, **kwargs)

    def reference(self, tensors, statistics=None):
        """y, or (y, sum), from PyTorch's ops in the type of x."""
        x, weight, bias = tensors["x"], tensors.get("weight"), tensors.get("bias")
        options = self.options
        if self.adds:
            total = x + tensors["residual"]
            shape = self.arguments[0]
            y = total
            if self.op == "add_layer_norm":
                y = F.layer_norm(total, shape, eps=self.eps)
            else:
                rows = total.flatten(-len(shape))
                part = rows[..., : int(rows.shape[-1] * options.get("partial", 1))]
                scale = torch.rsqrt(part.square().mean(-1, keepdim=True) + self.eps)
                y = (rows * scale).view_as(total)
            return self.affine(y, weight, bias, x.dim()), total
        if statistics is None:
            statistics = self.statistics(x.dtype)
        if self.op == "group_norm":
            y = F.group_norm(x, *self.arguments, eps=self.eps)
        elif self.op == "grouped_layer_norm":
            y = self.grouped(x)
        else:
            mean, var = statistics.get("running_mean"), statistics.get("running_var")
            momentum = options.get("momentum", 0.1)
            if momentum is None:
                momentum = 1 / (statistics["num_batches_tracked"].item() + 1)
            norm = F.batch_norm if self.op == "batch_norm" else F.instance_norm
            y = norm(x, mean, var, None, None, not self.evaluates, momentum, self.eps)
        y = self.affine(y, weight, bias, 1 if not self.channels else x.dim() - 1)
        return {"relu": F.relu, "silu": F.silu}.get(options.get("activation"), lambda z: z)(y)

    def grouped(self, x):
        dim = 1 if self.channels else -1
        groups = x.movedim(dim, -1).unflatten(-1, (*self.arguments, -1))
        if self.options.get("center", True):
            groups = groups - groups.mean(-1, keepdim=True)
        groups = groups * torch.rsqrt(groups.square().mean(-1, keepdim=True) + self.eps)
        return groups.flatten(-2).movedim(-1, dim)

    def affine(self, y, weight, bias, rank):
        shape = (-1,) + (1,) * (rank - 1) if self.channels else None
        see = lambda t: t.to(y.dtype).view(shape) if shape else t.to(y.dtype)  # noqa: E731
        if weight is not None:
            y = y * (see(weight) + self.options.get("weight_offset", 0))
        return y if bias is None else y + see(bias)

    def truth(self, tensors, gradients):
        """Outputs, and gradients by name, in float64 from the same inputs."""
        wide = {k: v.detach().double().requires_grad_() for k, v in tensors.items()}
        outputs = as_tuple(self.reference(wide, self.statistics(torch.float64)))
        grads = torch.autograd.grad(outputs, wide.values(), [g.double() for g in gradients])
        return [o.detach() for o in outputs], dict(zip(wide, grads, strict=True))


def as_tuple(outputs):
    return outputs if isinstance(outputs, tuple) else (outputs,)


CASES = [
    Case("group_norm", (3, 6, 4, 5), (2,)),
    Case("group_norm", (3, 6, 4, 5), (6,), bias=False, options={"eps": 1e-2}),
    Case("group_norm", (2, 6, 7), (1,), weight=False),
    Case("group_norm", (4, 6), (2,), options={"weight_offset": 1.0}),
    Case("group_norm", (2, 4, 3, 2, 2), (2,), weight=False, bias=False),
    Case("group_norm", (3, 6, 4, 5), (3,), options={"activation": "silu"}),
    Case("group_norm", (2, 6, 5), (3,), weight=False, bias=False, options={"activation": "silu"}),
    Case("group_norm", (3, 6, 4, 5), (3,), options={"activation": "relu"}),
    Case("instance_norm", (3, 4, 5, 6)),
    Case("instance_norm", (1, 4, 9), weight=False, bias=False),
    Case("instance_norm", (2, 3, 2, 3, 4), running=True),
    Case("instance_norm", (2, 3, 5), running=True, options={"use_running": True}),
    Case("instance_norm", (2, 3, 4, 4), options={"activation": "silu", "weight_offset": 1.0}),
    Case("batch_norm", (7, 5)),
    Case("batch_norm", (4, 3, 5), bias=False, running=True, options={"momentum": 0.3}),
    Case("batch_norm", (3, 4, 5, 6), running=True, options={"momentum": None}),
    Case("batch_norm", (2, 3, 2, 3, 2), weight=False, bias=False, options={"eps": 1e-3}),
    Case("batch_norm", (3, 4, 5, 2), running=True, options={"training": False}),
    Case("batch_norm", (6, 4), running=True, options={"training": False, "activation": "silu"}),
    Case("batch_norm", (3, 4, 3, 2), running=True, options={"activation": "silu"}),
    Case("batch_norm", (3, 4, 3, 2), weight=False, options={"activation": "relu"}),
    Case("grouped_layer_norm", (3, 5, 12), (3,)),
    Case("grouped_layer_norm", (4, 8), (4,), bias=False, options={"center": False}),
    Case("grouped_layer_norm", (4, 6), (3,), options={"allow_degenerate": True, "eps": 0.1}),
    Case("grouped_layer_norm", (2, 6, 3, 4), (2,), options={"per_position": True}),
    Case(
        "grouped_layer_norm",
        (2, 6, 5),
        (3,),
        weight=False,
        bias=False,
        options={"per_position": True, "center": False, "eps": 1e-3},
    ),
    Case("add_rms_norm", (3, 4, 10), ([10],)),
    Case("add_rms_norm", (3, 2, 6), ([2, 6],), bias=False, options={"partial": 0.5}),
    Case("add_layer_norm", (5, 12), ([12],)),
    Case("add_layer_norm", (2, 3, 4), ([3, 4],), weight=False, bias=False),
]
