"""Group normalisation followed by an activation, fast where torch's own kernels are slow.

Without gradients the native kernels do, the activation in place: a fresh tensor costs more than the arithmetic on it.
For training in bfloat16 on a CPU, the native backward kernel takes several times longer on channels-last tensors, the
layout that convolutions want, than memory bandwidth asks; this module has its own first derivative there (measured at
(32, 64, 32, 32): 1.2 ms against 6.8 ms). All else takes the native kernels, which also have the second derivative.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable


def group_norms(network: nn.Module) -> list[nn.GroupNorm]:
    """The normalisations of a network, in the order of their definition."""
    return [module for module in network.modules() if isinstance(module, nn.GroupNorm)]


def norm_activate(norm: nn.GroupNorm, activation: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """activation(norm(x)) for x of shape (B, C, H, W)."""
    if activation is not F.silu:
        return activation(norm(x))
    if not torch.is_grad_enabled():
        return F.silu(norm(x), inplace=True)
    if x.dtype == torch.bfloat16 and x.device.type == "cpu" and x.is_contiguous(memory_format=torch.channels_last):
        return _NormSiLU.apply(x, norm.weight, norm.bias, norm.num_groups, norm.eps)
    return F.silu(norm(x))


class _NormSiLU(torch.autograd.Function):
    """silu(u) with u the normalised x, bfloat16 and channels-last."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
        batch, channels, height, width = x.shape
        affine = weight.float(), bias.float()  # then the statistics are in float32 too
        u, mean, inverse = torch.native_group_norm(x, *affine, batch, channels, height * width, groups, eps)
        ctx.save_for_backward(x, u, weight, mean, inverse)
        ctx.groups = groups
        return F.silu(u)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, u, weight, mean, inverse = ctx.saved_tensors
        rows = _rows(x)
        mean, inverse = (value.repeat_interleave(x.shape[1] // ctx.groups, 1) for value in (mean, inverse))
        grad_u = torch.ops.aten.silu_backward(_rows(grad), _rows(u))
        sum_u = grad_u.sum(1, dtype=torch.float32)
        sum_ux = (grad_u * rows).sum(1, dtype=torch.float32)
        grad_weight = ((sum_ux - mean * sum_u) * inverse).sum(0)
        grad_bias = sum_u.sum(0)
        # d/dx of the statistics: dx = a du - (mean over the group of a du) - xhat (mean of a du xhat)
        scale = inverse * weight.float()
        count = rows.shape[1] * (x.shape[1] // ctx.groups)
        mean_du = _group_sum(sum_u * weight.float(), ctx.groups) / count
        mean_dux = _group_sum((sum_ux - mean * sum_u) * inverse * weight.float(), ctx.groups) / count
        slope = -inverse.square() * mean_dux
        offset = -inverse * mean_du - slope * mean
        dtype = rows.dtype
        grad_x = torch.addcmul(offset.to(dtype)[:, None], rows, slope.to(dtype)[:, None])
        grad_x = grad_x.addcmul_(grad_u, scale.to(dtype)[:, None])
        return _picture(grad_x, x.shape), grad_weight.to(weight.dtype), grad_bias.to(weight.dtype), None, None


def _rows(x: Tensor) -> Tensor:
    """(B, C, H, W) in channels-last memory as (B, H W, C), without a copy."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, x.shape[1])


def _picture(rows: Tensor, shape: torch.Size) -> Tensor:
    return rows.reshape(shape[0], shape[2], shape[3], shape[1]).permute(0, 3, 1, 2)


def _group_sum(value: Tensor, groups: int) -> Tensor:
    """Sums over each group's channels, repeated for its channels: (B, C) to (B, C)."""
    size = value.shape[1] // groups
    return value.unflatten(1, (groups, size)).sum(2).repeat_interleave(size, 1)
