"""The training loop all encoders share."""

import logging
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from torch import Tensor

from spotfuse._core import backend
from spotfuse._core.adam import Adam
from spotfuse._core.errors import InputError
from spotfuse.embedding._base import Embedding, Encoder
from spotfuse.embedding._encoders import ENCODERS
from spotfuse.embedding._spotfuse import Settings, Spotfuse

log = logging.getLogger(__name__)

_SAID = 10  # times the log reports on the training


def train(
    adata: AnnData,
    *,
    encoder: str | Callable[[AnnData, int], Encoder] = "spotfuse",
    epochs: int | None = None,
    seed: int = 1,
    device: str = "auto",
    threads: int = 1,
    settings: Settings | None = None,
) -> Embedding:
    """Train an encoder on a prepared slice.

    The same seed, machine and number of threads give the same bytes.

    Parameters
    ----------
    adata
        Slice as `spotfuse.preparation.prepare` leaves it.
    encoder
        ``spotfuse``, ``published`` for SpatialFusion's model as published, or what builds an encoder from a slice and
        a seed.
    epochs
        Steps of the optimiser; the encoder's own number by default.
    seed
        Of weights, dropout and corruption.
    device
        ``auto`` (a GPU if there is one), ``cpu`` or ``cuda``.
    threads
        Processor threads.
    settings
        What else decides the encoder ``spotfuse``.

    Returns
    -------
    Embedding
        Of the spots, in their order in `adata`.

    Raises
    ------
    InputError
        For an unknown encoder, an impossible number of epochs, settings of another encoder, or ``cuda`` without a GPU.
    """
    if isinstance(encoder, str) and encoder not in ENCODERS:
        raise InputError(f"encoder is {encoder!r}; it must be one of {', '.join(ENCODERS)}")
    if settings is not None and encoder != "spotfuse":
        raise InputError("settings: they are those of the encoder 'spotfuse'; leave them out")
    place = torch.device(backend.device(device))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    deterministic = torch.are_deterministic_algorithms_enabled()
    if place.type == "cuda":  # on the CPU all repeats itself anyhow, and the call would import torch's compilers
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    memory: Any = torch.utils.deterministic  # the type checker does not see the properties of this module
    filling = memory.fill_uninitialized_memory
    memory.fill_uninitialized_memory = False  # a debugging aid that takes a third of the time
    try:
        model = _build(encoder, adata, seed, settings).to(place)
        steps = model.epochs if epochs is None else epochs
        if steps < 1:
            raise InputError(f"epochs is {epochs}; it must be 1 or more")
        history = _minimise(model, steps, f"training {type(model).__name__.lower()} on {place}: {adata.n_obs} spots")
        model.eval()
        with torch.no_grad():
            values, attention = model.embed()
    finally:
        torch.set_num_threads(before)
        if place.type == "cuda":
            torch.use_deterministic_algorithms(deterministic)
        memory.fill_uninitialized_memory = filling
    losses = pd.DataFrame(history)
    losses.insert(0, "loss", losses.sum(axis=1))
    losses.insert(0, "epoch", np.arange(1, steps + 1))
    return Embedding(values.cpu().numpy(), attention.cpu().numpy(), losses)


def _build(
    encoder: str | Callable[[AnnData, int], Encoder], adata: AnnData, seed: int, settings: Settings | None
) -> Encoder:
    if not isinstance(encoder, str):
        return encoder(adata, seed)
    if settings is not None:
        return Spotfuse.from_slice(adata, seed, settings)
    return ENCODERS[encoder]().from_slice(adata, seed)


def _minimise(model: Encoder, steps: int, what: str) -> list[dict[str, float]]:
    optimiser = Adam(model.parameters(), model.learning_rate, model.weight_decay)
    history = []
    start = time.perf_counter()
    model.train()
    for step in range(1, steps + 1):
        began = time.perf_counter()
        terms = model.losses()
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        history.append({name: float(value.detach()) for name, value in terms.items()})
        if step == min(2, steps):  # the first step also warms up: the second tells the time of all
            expected = (time.perf_counter() - began) * steps
            log.info("%s, %d epochs, about %d MB and %.0f s", what, steps, _size(model), expected)
        elif step % max(1, steps // _SAID) == 0:
            left = (time.perf_counter() - start) / step * (steps - step)
            said = ", ".join(f"{name} {value:.4g}" for name, value in history[-1].items())
            log.info("epoch %d of %d: %s; %.0f s left", step, steps, said, left)
    return history


def _size(model: torch.nn.Module) -> int:
    """Estimate the peak memory in MB: Python with its libraries, and what the model holds, four times over."""
    held = sum(_bytes(tensor) for tensor in (*model.buffers(), *model.parameters()))
    return round(750 + 4 * held / 2**20)


def _bytes(tensor: Tensor) -> int:
    if tensor.layout == torch.sparse_csr:
        return _bytes(tensor.values()) + _bytes(tensor.col_indices()) + _bytes(tensor.crow_indices())
    return tensor.numel() * tensor.element_size()
