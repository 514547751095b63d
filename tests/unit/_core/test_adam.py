"""Our Adam is torch's."""

import pytest
import torch
from spotfuse._core.adam import Adam


@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_bit_for_bit_as_torch(weight_decay: float) -> None:
    data = torch.randn(50, 7, generator=torch.Generator().manual_seed(1))
    found = []
    for kind in (Adam, torch.optim.Adam):
        torch.manual_seed(2)
        model = torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.Tanh(), torch.nn.Linear(5, 7))
        model[2].bias.requires_grad_(False)  # one that never has a gradient
        optimiser = kind(model.parameters(), 0.03, weight_decay=weight_decay)
        for _ in range(40):
            for parameter in model.parameters():
                parameter.grad = None
            (model(data) - data).square().mean().backward()
            optimiser.step()
        found.append(torch.cat([parameter.detach().ravel() for parameter in model.parameters()]))
    assert torch.equal(*found)
