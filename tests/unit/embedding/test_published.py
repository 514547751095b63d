"""The published encoder against its equations, written here with dense matrices."""

import numpy as np
import pytest
import torch
from anndata import AnnData
from scipy import sparse
from spotfuse.embedding import train
from spotfuse.embedding._published import Published
from spotfuse.preparation import prepare
from torch.nn import functional

PLATFORMS = pytest.mark.parametrize("platform", ["visium", "slide_seq"])


@pytest.fixture(scope="module")
def prepared() -> AnnData:
    """120 spots with two expression programs that change along the tissue, in no order."""
    rng = np.random.default_rng(3)
    place = rng.uniform(size=(120, 2)) * 1000
    program = np.stack([place[:, 0] / 1000, 1 - place[:, 0] / 1000], axis=1) @ rng.gamma(0.7, 2, size=(2, 90))
    adata = AnnData(sparse.csr_matrix(rng.poisson(program * rng.gamma(5, 0.2, size=(120, 1))).astype(np.float32)))
    adata.obsm["spatial"] = place
    prepare(adata, n_top_genes=60, n_components=10)
    return adata


class Dense:
    """Preparation, graphs, encoder and loss, term by term, in double precision."""

    def __init__(self, adata: AnnData, model: Published) -> None:
        counts = adata.X.toarray().astype(float)
        values = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))[:, adata.var["highly_variable"]]
        features = np.minimum(values / values.std(axis=0, ddof=1), 10)
        self.F = torch.from_numpy(features)
        n = len(features)
        distance = np.linalg.norm(adata.obsm["spatial"][:, None] - adata.obsm["spatial"][None], axis=2)
        np.fill_diagonal(distance, -1)
        correlation = np.corrcoef(features)
        np.fill_diagonal(correlation, 2)
        chosen, similar = np.zeros((n, n)), np.zeros((n, n))
        for i in range(n):
            chosen[i, distance[i].argsort()[1:4]] = 1
            similar[i, (-correlation[i]).argsort()[1:21]] = 1
        touching = np.maximum(chosen, chosen.T)
        if model.beads:
            degree = (touching + np.eye(n)).sum(axis=1)
            spatial, feature = (touching + np.eye(n)) / np.sqrt(np.outer(degree, degree)), (similar + np.eye(n)) / 21
        else:
            degree = touching.sum(axis=1)
            spatial, feature = touching / np.sqrt(np.outer(degree, degree)) + np.eye(n), similar / 20 + np.eye(n)
        self.graphs = torch.from_numpy(spatial), torch.from_numpy(feature)
        self.M = torch.from_numpy(chosen + np.eye(n))
        self.model = model

    def encode(self, masks: list[torch.Tensor], output_mask: torch.Tensor, order: torch.Tensor):
        m = self.model
        z = []
        for graph, weights, scale, mask in zip(
            self.graphs,
            (m.spatial_weights, m.feature_weights),
            (m.spatial_scale, m.feature_scale),
            masks,
            strict=True,
        ):
            z.append(scale * (graph @ ((self.F * mask)[order] @ weights)))
        heads, shares = [], []
        for W, u in zip(m.attention_hidden, m.attention_score, strict=True):
            scores = torch.cat([torch.tanh(view @ W) @ u for view in z], dim=1)
            share = torch.softmax(scores + 1e-6, dim=1)
            heads.append(share[:, :1] * z[0] + share[:, 1:] * z[1])
            shares.append(share)
        return (torch.cat(heads, dim=1) * output_mask) @ m.output + m.output_bias, torch.stack(shares).mean(dim=0)

    def losses(self, E: torch.Tensor, corrupted: torch.Tensor) -> dict[str, torch.Tensor]:
        m = self.model
        contrast = 0
        for own, foreign in ((E, corrupted), (corrupted, E)):
            mean = (self.M @ own) / self.M.sum(dim=1, keepdim=True)
            g = torch.sigmoid(functional.normalize(mean, p=2, dim=1))
            scores = [functional.bilinear(x, g, m.agreement[None], m.agreement_bias[None]) for x in (own, foreign)]
            logits = torch.cat(scores, dim=1)
            targets = torch.tensor([1.0, 0.0], dtype=torch.float64).expand(len(E), 2)
            contrast = contrast + functional.binary_cross_entropy_with_logits(logits, targets)
        return {"reconstruction": 10 * functional.mse_loss(E @ m.decoder, self.F), "contrast": contrast}


def draws_of(model: Published) -> tuple[list[list[torch.Tensor]], torch.Tensor]:
    """Dropout masks and the shuffle that the next call of losses() will draw."""
    random = torch.Generator()
    random.set_state(model.random.get_state())
    row, column = model.features.index.as_tensor()
    n, genes = model.features.index.get_sparse_size()

    def kept(*shape: int) -> torch.Tensor:
        return (torch.rand(shape, generator=random) >= 0.1).double() / 0.9

    def of_one_pass() -> list[torch.Tensor]:
        masks = []
        for _ in range(2):
            mask = torch.ones(n, genes, dtype=torch.float64)
            mask[row, column] = kept(len(row))
            masks.append(mask)
        return [*masks, kept(n, 256)]

    first = of_one_pass()
    order = torch.randperm(n, generator=random)
    return [first, of_one_pass()], order


@PLATFORMS
def test_embedding_and_attention_are_those_of_the_dense_equations(prepared: AnnData, platform: str) -> None:
    prepared.uns["spotfuse"] = {"platform": platform}
    model = Published.from_slice(prepared, seed=5).double().eval()
    everything = torch.ones((), dtype=torch.float64)
    latent, attention = Dense(prepared, model).encode([everything] * 2, everything, torch.arange(120))
    published = latent @ model.decoder
    if platform == "slide_seq":
        published = functional.normalize(published, dim=1)

    ours, weights = (tensor.detach() for tensor in model.embed())
    np.testing.assert_allclose(weights, attention.detach(), rtol=1e-5)
    # the published embedding is the reconstruction: ours has its inner products, so its principal components
    np.testing.assert_allclose(ours @ ours.T, (published @ published.T).detach(), rtol=1e-5, atol=1e-8)


@PLATFORMS
def test_loss_and_gradients_are_those_of_the_dense_equations(prepared: AnnData, platform: str) -> None:
    prepared.uns["spotfuse"] = {"platform": platform}
    model = Published.from_slice(prepared, seed=5).double().train()
    dense = Dense(prepared, model)
    (first, second), order = draws_of(model)
    latent, _ = dense.encode(first[:2], first[2], torch.arange(120))
    # a mask of the shuffled slice is drawn by spot before the shuffle: it is as independent there
    corrupted, _ = dense.encode(second[:2], second[2], order)
    expected = dense.losses(latent, corrupted)
    parameters = dict(model.named_parameters())
    wanted = torch.autograd.grad(sum(expected.values()), list(parameters.values()))

    terms = model.losses()
    got = torch.autograd.grad(sum(terms.values()), list(parameters.values()))
    assert list(terms) == list(expected)
    for name, value in terms.items():
        assert value.item() == pytest.approx(expected[name].item(), rel=1e-5)
    for name, ours, theirs in zip(parameters, got, wanted, strict=True):
        assert torch.linalg.norm(ours - theirs) <= 1e-5 * torch.linalg.norm(theirs), name


def test_training_lowers_the_reconstruction_error_and_repeats_byte_for_byte(prepared: AnnData) -> None:
    first, again, other = (train(prepared, encoder="published", epochs=30, seed=seed) for seed in (1, 1, 2))
    assert first.values.shape == (120, 64) and first.attention.shape == (120, 2)
    np.testing.assert_allclose(first.attention.sum(axis=1), 1, rtol=1e-5)
    assert first.losses["reconstruction"].iloc[-1] < 0.8 * first.losses["reconstruction"].iloc[0]
    assert first.values.tobytes() == again.values.tobytes()
    assert first.losses.equals(again.losses)
    assert not np.allclose(first.values, other.values)


def test_spots_on_one_place_and_a_spot_without_variable_genes(prepared: AnnData) -> None:
    adata = prepared.copy()
    adata.obsm["spatial"][:10] = adata.obsm["spatial"][0]
    adata.X = sparse.csr_matrix(adata.X.multiply(np.arange(120)[:, None] != 5))
    embedding = train(adata, encoder="published", epochs=3, seed=1)
    assert np.isfinite(embedding.values).all() and np.isfinite(embedding.losses.to_numpy()).all()
