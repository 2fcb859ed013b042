"""Class-conditional sampling by the gradient of a noise-conditional classifier (Song et al. 2021, appendix I.1)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from scoreinv.prior import Prior, PriorWrapper
from scoreinv.sdes import as_time, broadcast
from scoreinv.system.errors import InputError
from scoreinv.system.options import GUIDANCE, check, require

Classifier = Callable[[Tensor, Tensor], Tensor]
"""Maps states (B, C, H, W) and times (B,) to logits (B, classes)."""


class ClassifierGuidance(PriorWrapper):
    """grad log p_t(x) + scale grad log p_t(label | x), that is noise(x, t) - scale sigma(t) grad log p_t(label | x).

    Args:
        classifier: maps (x, t) to logits, t float64 of shape (B,).
        label: class index, an int for all samples or a tensor (B,).
        scale: 1 is the exact conditional; larger values trade variety for typicality.

    `noise` raises InputError for labels that the classifier does not have, or if their number is not 1 or B.
    """

    of_whole_pictures = True

    def __init__(self, prior: Prior, classifier: Classifier, label: int | Tensor, scale: float = 1.0) -> None:
        super().__init__(prior)
        check("scale", scale, GUIDANCE)
        self.classifier = classifier
        self.label = torch.as_tensor(label, dtype=torch.long).reshape(-1)
        self.scale = scale
        self.vjps_per_noise = prior.vjps_per_noise + 1

    def noise(self, x: Tensor, t: float | Tensor, *maps: Tensor) -> Tensor:
        t = as_time(t).expand(x.shape[0])
        gradient = self.log_likelihood_gradient(x, t)
        return self.prior.noise(x, t, *maps) - broadcast(self.scale * self.sde.sigma(t), x) * gradient

    def log_likelihood_gradient(self, x: Tensor, t: Tensor) -> Tensor:
        """Return grad_x log p_t(label | x), the shape of x; differentiable in x if gradients are enabled."""
        differentiable = torch.is_grad_enabled()
        with torch.enable_grad():
            probe = x if differentiable and x.requires_grad else x.detach().requires_grad_()
            log_probability = F.log_softmax(self.classifier(probe, t), dim=-1)
            classes = log_probability.shape[-1]
            if len(self.label) not in (1, len(x)):
                raise InputError(f"{len(self.label)} labels for {len(x)} samples: give one, or one for each")
            known = bool(((self.label >= 0) & (self.label < classes)).all())
            require(known, f"labels are numbers from 0 to {classes - 1}, not {self.label.tolist()}")
            label = self.label.to(x.device).expand(x.shape[0])
            chosen = log_probability.gather(-1, label[:, None])
            return torch.autograd.grad(chosen.sum(), probe, create_graph=differentiable)[0]
