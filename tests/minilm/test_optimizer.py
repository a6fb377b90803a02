import itertools
import math

import pytest
import torch

from scbench.minilm.model import MiniLlama
from scbench.minilm.optimizer import Muon, learning_rate, make_optimizers, orthogonalise, set_learning_rate


@pytest.mark.parametrize("shape", [(1, 7, 7), (3, 31, 64), (2, 64, 129)])
def test_orthogonalised_matrices_keep_their_directions_and_lose_their_scales(shape):
    matrices = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    result = orthogonalise(matrices).double()
    u, _, vh = torch.linalg.svd(matrices.double(), full_matrices=False)
    singular = torch.linalg.svdvals(result)
    # Directions far below the largest need more than five iterations to grow; random square matrices have a few.
    assert singular.max() < 1.3 and (singular > 0.5).float().mean() > 0.9
    off_axis = u.mT @ result @ vh.mT
    off_axis -= torch.diag_embed(off_axis.diagonal(dim1=1, dim2=2))
    assert off_axis.abs().max() < 1e-3


@pytest.mark.parametrize("shape", [(48, 48), (48, 192), (192, 48)])
def test_an_update_has_the_stated_root_mean_square(shape):
    parameter = torch.nn.Parameter(torch.zeros(shape))
    parameter.grad = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 1e3
    Muon([parameter], lr=0.5).step()
    assert parameter.detach().pow(2).mean().sqrt() == pytest.approx(0.2 * 0.5, rel=0.2)


def test_weight_decay_shrinks_a_matrix_by_the_rate_times_itself_beside_the_update():
    generator = torch.Generator().manual_seed(4)
    start, gradient = torch.randn(2, 12, 7, generator=generator)

    def after(value, decay):
        parameter = torch.nn.Parameter(value.clone())
        parameter.grad = gradient.clone()
        Muon([parameter], lr=0.3, weight_decay=decay).step()
        return parameter.detach()

    update = after(torch.zeros_like(start), 0.0)
    assert torch.allclose(after(start, 0.0), start + update, atol=1e-6)
    assert torch.allclose(after(start, 0.5), 0.85 * start + update, atol=1e-6)


def test_weight_decay_keeps_matrices_from_growing():
    """Updates at random, as late in training, add up without it."""

    def size_after(decay):
        generator = torch.Generator().manual_seed(5)
        parameter = torch.nn.Parameter(torch.zeros(16, 16))
        optimizer = Muon([parameter], lr=0.1, momentum=0.0, weight_decay=decay)
        for _ in range(400):
            parameter.grad = torch.randn(16, 16, generator=generator)
            optimizer.step()
        return parameter.detach().pow(2).mean().sqrt().item()

    assert size_after(1.0) < size_after(0.0) / 3


def test_matrices_of_one_shape_and_its_transpose_are_updated_as_if_alone():
    generator = torch.Generator().manual_seed(2)
    gradients = [torch.randn(shape, generator=generator) for shape in ((8, 20), (20, 8), (8, 20), (5, 5))]

    def updated(group):
        parameters = [torch.nn.Parameter(torch.zeros_like(gradient)) for gradient in group]
        for parameter, gradient in zip(parameters, group, strict=True):
            parameter.grad = gradient
        Muon(parameters, lr=1.0).step()
        return [parameter.detach() for parameter in parameters]

    together = updated(gradients)
    alone = [updated([gradient])[0] for gradient in gradients]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(together, alone, strict=True))


def test_a_descent_step_lowers_a_linear_loss():
    parameter = torch.nn.Parameter(torch.zeros(6, 9))
    target = torch.randn(6, 9, generator=torch.Generator().manual_seed(3))
    optimizer = Muon([parameter], lr=0.1)
    for _ in range(3):
        parameter.grad = target.clone()
        optimizer.step()
    assert (parameter * target).sum() < 0


def test_every_parameter_is_trained_once_and_matrices_at_twice_the_rate(size):
    model = MiniLlama(size, 300)
    optimizers = make_optimizers(model, weight_decay=0.2)
    groups = {name: optimizer.param_groups[0] for name, optimizer in optimizers.items()}
    trained = [parameter for group in groups.values() for parameter in group["params"]]
    assert len(trained) == len({id(parameter) for parameter in trained}) == len(list(model.parameters()))
    assert any(parameter is model.model.embed_tokens.weight for parameter in groups["adamw"]["params"])
    assert all(parameter.dim() == 2 for parameter in groups["muon"]["params"])
    assert (groups["muon"]["weight_decay"], groups["adamw"]["weight_decay"]) == (0.2, 0)
    set_learning_rate(optimizers, 0.25)
    assert (groups["muon"]["lr"], groups["adamw"]["lr"]) == (0.5, 0.25)


def test_learning_rate_falls_along_a_cosine():
    rates = [learning_rate(1.0, 0.1, step, 100) for step in range(0, 121)]
    assert rates[0] == 1.0 and rates[50] == pytest.approx(0.55) and rates[100] == rates[120] == pytest.approx(0.1)
    assert all(a >= b for a, b in itertools.pairwise(rates))
    assert rates[25] == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 4)))
