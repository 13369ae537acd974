"""The norms as modules: those of torch.nn with the same constructors, parameters and state dicts,
computed by omninorm, and those that torch.nn has not.

Beside torch's arguments, every module takes `weight_offset` (the weight is multiplied as weight +
weight_offset and starts at 1 - weight_offset); the norms of rows take `cast_policy`
("after_weight", or "before_weight" as Llama rounds), and GroupNorm, InstanceNorm and BatchNorm
take `activation` ("none", "relu" or "silu"), which is applied behind the norm in the same pass.

In float32, results differ from torch's by the rounding of sums alone: outputs by about 1e-6 of
the largest, gradients by about 1e-5. In bfloat16 and float16 they are more exact than torch's.
"""

from omninorm._library import ops, torch  # says what is missing where torch is

Tensor = torch.Tensor

__all__ = [
    "AddLayerNorm",
    "AddRMSNorm",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "GroupNorm",
    "GroupedLayerNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "RMSNorm",
]


class _Options:
    """Mixed into a torch module, before it: further keyword arguments, by name and default."""

    _defaults: dict = {}

    def __init__(self, *args, **kwargs):
        options = {name: kwargs.pop(name, value) for name, value in self._defaults.items()}
        super().__init__(*args, **kwargs)
        for name, value in options.items():
            setattr(self, name, value)
        if self.weight_offset:
            self.reset_parameters()

    def reset_parameters(self):
        super().reset_parameters()
        # The first call comes from torch's constructor, before the options are there.
        offset = getattr(self, "weight_offset", 0.0)
        if offset and self.weight is not None:
            torch.nn.init.constant_(self.weight, 1 - offset)

    def extra_repr(self):
        options = [
            f"{name}={getattr(self, name)!r}"
            for name, value in self._defaults.items()
            if getattr(self, name) != value
        ]
        return ", ".join([super().extra_repr(), *options])

    def _options(self):
        return {name: getattr(self, name) for name in self._defaults}


class _RowOptions(_Options):
    _defaults = {"weight_offset": 0.0, "cast_policy": "after_weight"}


class _ChannelOptions(_Options):
    _defaults = {"weight_offset": 0.0, "activation": "none"}


class LayerNorm(_RowOptions, torch.nn.LayerNorm):
    """torch.nn.LayerNorm"""

    def forward(self, input: Tensor) -> Tensor:
        return ops.layer_norm(
            input, self.normalized_shape, self.weight, self.bias, eps=self.eps, **self._options()
        )


def _eps(module: torch.nn.RMSNorm, x: Tensor) -> float:
    """eps=None is what torch takes for it: that of the type in which it computes."""
    if module.eps is not None:
        return module.eps
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    return torch.finfo(wide).eps


class RMSNorm(_RowOptions, torch.nn.RMSNorm):
    """torch.nn.RMSNorm, which has no bias. `partial`: statistics from the first int(d * partial)
    entries."""

    _defaults = {**_RowOptions._defaults, "partial": 1.0}

    def forward(self, input: Tensor) -> Tensor:
        return ops.rms_norm(
            input, self.normalized_shape, self.weight, eps=_eps(self, input), **self._options()
        )


class AddLayerNorm(LayerNorm):
    """norm(input + residual) and input + residual, in this order, in one pass over memory."""

    def forward(self, input: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
        return ops.add_layer_norm(
            input,
            residual,
            self.normalized_shape,
            self.weight,
            self.bias,
            eps=self.eps,
            **self._options(),
        )


class AddRMSNorm(RMSNorm):
    """norm(input + residual) and input + residual, in this order, in one pass over memory."""

    def forward(self, input: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
        return ops.add_rms_norm(
            input,
            residual,
            self.normalized_shape,
            self.weight,
            eps=_eps(self, input),
            **self._options(),
        )


def _check_groups(op: str, name: str, groups: int, channels: int) -> None:
    if groups < 1 or channels % groups != 0:
        raise ValueError(f"[{op}] expected {name} to divide {channels} channels, got {groups}")


class GroupNorm(_ChannelOptions, torch.nn.GroupNorm):
    """torch.nn.GroupNorm"""

    def __init__(self, num_groups: int, num_channels: int, *args, **kwargs):
        _check_groups("group_norm", "num_groups", num_groups, num_channels)
        super().__init__(num_groups, num_channels, *args, **kwargs)

    def forward(self, input: Tensor) -> Tensor:
        return ops.group_norm(
            input, self.num_groups, self.weight, self.bias, eps=self.eps, **self._options()
        )


class GroupedLayerNorm(torch.nn.Module):
    """Layer norm of each group of channels by itself (LN-G): of the last dimension, or, with
    per_position, of dimension 1 at each position. center=False: grouped RMS norm."""

    def __init__(
        self,
        groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device=None,
        dtype=None,
        *,
        center: bool = True,
        per_position: bool = False,
        allow_degenerate: bool = False,
        weight_offset: float = 0.0,
        cast_policy: str = "after_weight",
    ):
        super().__init__()
        _check_groups("grouped_layer_norm", "groups", groups, num_channels)
        self.groups, self.num_channels, self.eps, self.affine = groups, num_channels, eps, affine
        self.center, self.per_position = center, per_position
        self.allow_degenerate = allow_degenerate
        self.weight_offset, self.cast_policy = weight_offset, cast_policy
        for name in ("weight", "bias"):
            value = torch.empty(num_channels, device=device, dtype=dtype) if affine else None
            self.register_parameter(name, None if value is None else torch.nn.Parameter(value))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if self.affine:
            torch.nn.init.constant_(self.weight, 1 - self.weight_offset)
            torch.nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return ops.grouped_layer_norm(
            input,
            self.groups,
            self.weight,
            self.bias,
            center=self.center,
            per_position=self.per_position,
            allow_degenerate=self.allow_degenerate,
            eps=self.eps,
            weight_offset=self.weight_offset,
            cast_policy=self.cast_policy,
        )

    def extra_repr(self) -> str:
        return (
            f"{self.groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"center={self.center}, per_position={self.per_position}"
        )


class _BatchNorm(_ChannelOptions):
    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        training = self.training or self.running_mean is None
        kept = not self.training or self.track_running_stats
        return ops.batch_norm(
            input,
            self.weight,
            self.bias,
            self.running_mean if kept else None,
            self.running_var if kept else None,
            self.num_batches_tracked if kept else None,
            training=training,
            momentum=self.momentum,
            eps=self.eps,
            **self._options(),
        )


class BatchNorm1d(_BatchNorm, torch.nn.BatchNorm1d):
    """torch.nn.BatchNorm1d. A batch without elements is not counted."""


class BatchNorm2d(_BatchNorm, torch.nn.BatchNorm2d):
    """torch.nn.BatchNorm2d. A batch without elements is not counted."""


class BatchNorm3d(_BatchNorm, torch.nn.BatchNorm3d):
    """torch.nn.BatchNorm3d. A batch without elements is not counted."""


class _InstanceNorm(_ChannelOptions):
    def _apply_instance_norm(self, input: Tensor) -> Tensor:
        use_running = self.track_running_stats and not self.training
        return ops.instance_norm(
            input,
            self.weight,
            self.bias,
            self.running_mean,
            self.running_var,
            use_running=use_running,
            momentum=0.0 if self.momentum is None else self.momentum,
            eps=self.eps,
            **self._options(),
        )


class InstanceNorm1d(_InstanceNorm, torch.nn.InstanceNorm1d):
    """torch.nn.InstanceNorm1d"""


class InstanceNorm2d(_InstanceNorm, torch.nn.InstanceNorm2d):
    """torch.nn.InstanceNorm2d"""


class InstanceNorm3d(_InstanceNorm, torch.nn.InstanceNorm3d):
    """torch.nn.InstanceNorm3d"""
