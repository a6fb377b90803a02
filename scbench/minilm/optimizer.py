"""Muon for the matrices, AdamW for the rest, and the learning rate of a step.

With AdamW alone this model did not learn to look up a key at all in the budget it has; with Muon it does in minutes.
"""

import math
from collections import defaultdict

import torch
from torch import Tensor

from scbench.minilm.model import MiniLlama

# Coefficients of the quintic iteration that drives singular values towards 1 (Jordan et al., Muon, 2024).
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Approximate U V^T of every matrix [n, rows, columns], rows <= columns; singular values end near 1, [0.7, 1.2].

    In float32: bfloat16 products, which are the usual choice on accelerators, are several times slower on most CPUs.
    """
    a, b, c = NEWTON_SCHULZ
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum whose update is orthogonalised, matrices of one shape together.

    An update has the root mean square 0.2 * lr in every shape, so that AdamW's learning rates carry over (Liu et al.,
    Muon is scalable for LLM training, 2025, equation 4). Its size does not depend on that of the matrix, so that
    without `weight_decay` (theirs is 0.1) matrices grow for as long as they are trained, and turn ever more slowly.
    """

    def __init__(self, params, lr: float, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        if closure is not None:
            raise ValueError("Muon takes no closure")
        for group in self.param_groups:
            by_shape: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                update = parameter.grad.lerp(state["momentum"], group["momentum"])
                wide = update if update.shape[0] <= update.shape[1] else update.mT
                by_shape[tuple(wide.shape)].append((parameter, wide))
            for shape, members in by_shape.items():
                updates = orthogonalise(torch.stack([wide for _, wide in members]))
                for (parameter, _), update in zip(members, updates, strict=True):
                    turned = update if update.shape == parameter.shape else update.mT
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(turned, alpha=-0.2 * group["lr"] * math.sqrt(max(shape)))


def make_optimizers(model: MiniLlama, weight_decay: float = 0.0) -> dict[str, torch.optim.Optimizer]:
    """Muon for every matrix but the embedding, AdamW for the embedding and the norms; rates are 0 until set.

    weight_decay: of the matrices, for each unit of the learning rate.
    """
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        (matrices if parameter.dim() == 2 and "embed_tokens" not in name else others).append(parameter)
    return {
        "muon": Muon(matrices, lr=0.0, weight_decay=weight_decay),
        "adamw": torch.optim.AdamW(others, lr=0.0, betas=(0.9, 0.98), weight_decay=0.0),
    }


def learning_rate(first: float, last: float, step: int, steps: int) -> float:
    """Cosine from `first` at step 0 to `last` at step `steps`, constant afterwards."""
    done = min(1.0, step / max(1, steps))
    return last + (first - last) * 0.5 * (1 + math.cos(math.pi * done))


def set_learning_rate(optimizers: dict[str, torch.optim.Optimizer], rate: float) -> None:
    """The embedding and the norms train at `rate`, the matrices at twice that."""
    for name, factor in (("muon", 2.0), ("adamw", 1.0)):
        for group in optimizers[name].param_groups:
            group["lr"] = factor * rate
