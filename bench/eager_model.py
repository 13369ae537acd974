"""The lab's model in plain eager PyTorch: what train_throughput.py measures the lab against.

The same architecture, parameter names and arithmetic as lab/model, written as one writes it in
Python: fused qkv projection, rotary positions, scaled_dot_product_attention, GELU, F.rms_norm.
"""

import torch
import torch.nn.functional as F
from torch import nn

# Norm positions, as in lab/model/placement.cc: before the sublayer, after it, after the sum, final.
PLACEMENTS = {
    "post": (False, False, True, False),
    "pre": (True, False, False, True),
    "peri": (True, True, False, True),
    "output": (False, True, False, True),
}


class RMSNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class LayerNorm(RMSNorm):
    def __init__(self, width, eps):
        super().__init__(width, eps)
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


NORMS = {"rms_norm": RMSNorm, "layer_norm": LayerNorm}


def rotary_table(context, head_width):
    """cos + i sin: context x 1 x head_width/2, complex."""
    frequency = 10000.0 ** (-torch.arange(0, head_width, 2, dtype=torch.float64) / head_width)
    angle = torch.outer(torch.arange(context, dtype=torch.float64), frequency)
    return torch.polar(torch.ones_like(angle), angle).to(torch.complex64).unsqueeze(1)


def rotate(x, table):
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * table).flatten(-2).to(x.dtype)


class Attention(nn.Module):
    def __init__(self, width, heads, context):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Parameter(torch.empty(3 * width, width))
        self.out = nn.Parameter(torch.empty(width, width))
        self.register_buffer("rotary", rotary_table(context, width // heads), persistent=False)

    def forward(self, x):
        q, k, v = F.linear(x, self.qkv).unflatten(-1, (3, self.heads, -1)).unbind(2)
        q = rotate(q, self.rotary).transpose(1, 2)
        k = rotate(k, self.rotary).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v.transpose(1, 2), is_causal=True)
        return F.linear(y.transpose(1, 2).flatten(-2), self.out)


class Mlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.up = nn.Parameter(torch.empty(4 * width, width))
        self.down = nn.Parameter(torch.empty(width, 4 * width))

    def forward(self, x):
        return F.linear(F.gelu(F.linear(x, self.up)), self.down)


class Block(nn.Module):
    def __init__(self, settings, make_norm):
        super().__init__()
        before, after, after_sum, _ = PLACEMENTS[settings["placement"]]
        self.attention = Attention(settings["width"], settings["heads"], settings["context"])
        self.mlp = Mlp(settings["width"])
        for sublayer in ("attention", "mlp"):
            setattr(self, f"norm_before_{sublayer}", make_norm(before))
            setattr(self, f"norm_after_{sublayer}", make_norm(after))
            setattr(self, f"norm_after_sum_{sublayer}", make_norm(after_sum))

    def forward(self, x):
        branch = self.norm_after_attention(self.attention(self.norm_before_attention(x)))
        x = self.norm_after_sum_attention(x + branch)
        branch = self.norm_after_mlp(self.mlp(self.norm_before_mlp(x)))
        return self.norm_after_sum_mlp(x + branch)


class Transformer(nn.Module):
    def __init__(self, settings):
        super().__init__()
        norm, width = settings["norm"], settings["width"]

        def make_norm(wanted):
            if not wanted or norm == "none":
                return nn.Identity()
            return NORMS[norm](width, settings["norm_eps"])

        self.embedding = nn.Parameter(torch.empty(256, width))
        self.layers = settings["layers"]
        for index in range(self.layers):
            setattr(self, f"block{index}", Block(settings, make_norm))
        self.final_norm = make_norm(PLACEMENTS[settings["placement"]][3])
        self.output = nn.Parameter(torch.empty(256, width))

    def forward(self, tokens):
        x = F.embedding(tokens, self.embedding)
        for index in range(self.layers):
            x = getattr(self, f"block{index}")(x)
        return F.linear(self.final_norm(x), self.output)
