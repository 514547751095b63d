"""Adam (Kingma & Ba 2015, ICLR), bit for bit as torch has it on the CPU; torch's takes seconds to load compilers."""

from collections.abc import Iterable

import torch

_RATES, _LEAST = (0.9, 0.999), 1e-8


class Adam:
    """Go down the gradients of some parameters.

    Parameters
    ----------
    parameters
        Leaves of the graph; those without a gradient stay.
    learning_rate
        Of each step.
    weight_decay
        Times the parameter, is added to its gradient.
    """

    def __init__(self, parameters: Iterable[torch.Tensor], learning_rate: float, weight_decay: float = 0.0) -> None:
        self.parameters = list(parameters)
        self.moments = [(torch.zeros_like(parameter), torch.zeros_like(parameter)) for parameter in self.parameters]
        self.learning_rate, self.weight_decay, self.steps = learning_rate, weight_decay, 0

    @torch.no_grad()
    def step(self) -> None:
        """Go one step, and forget the gradients."""
        self.steps += 1
        first, second = (1 - rate**self.steps for rate in _RATES)
        for parameter, (mean, square) in zip(self.parameters, self.moments, strict=True):
            gradient = parameter.grad
            if gradient is None:
                continue
            if self.weight_decay:
                gradient = gradient.add(parameter, alpha=self.weight_decay)
            mean.lerp_(gradient, 1 - _RATES[0])
            square.mul_(_RATES[1]).addcmul_(gradient, gradient, value=1 - _RATES[1])
            parameter.addcdiv_(mean, (square.sqrt() / second**0.5).add_(_LEAST), value=-self.learning_rate / first)
            parameter.grad = None
