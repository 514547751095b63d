import base64
import gzip

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from spotfuse.report import _genes
from spotfuse.report._page import Pack


def unpacked(header: dict, text: str, pack: Pack, n_points: int) -> pd.DataFrame:
    """What the page's script does."""
    lines, whole = text.split("\n"), pack._bytes.getvalue()

    def numbers(part: dict, kind: str) -> np.ndarray:
        return np.frombuffer(whole[part["at"] :], kind, part["n"])

    held = numbers(header["held"], f"<u{header['held']['w']}")
    units, found = numbers(header["units"], "<f4"), {}
    for k, line in enumerate(lines):
        raw = list(gzip.decompress(base64.b64decode(line)))
        gaps, codes = iter(raw[: header["splits"][k]]), iter(raw[header["splits"][k] :])
        for j in range(k * header["together"], min((k + 1) * header["together"], len(header["names"]))):
            values, i = np.zeros(n_points), -1
            for _ in range(held[j]):
                i += 1
                while (gap := next(gaps)) == 255:
                    i += gap
                i += gap
                values[i] = units[j] * header["levels"][next(codes)]
            found[header["names"][j]] = values
        assert next(gaps, None) is None and next(codes, None) is None
    return pd.DataFrame(found)


@pytest.fixture
def adata() -> AnnData:
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(0.3, 2, 150), (1200, 150)).astype(np.float32)
    counts[:, 3] = 0
    counts[[5, 900, 1199], 3] = [1, 128, 20_000]  # gaps of more than a byte, a count of more than one
    counts[:, 4] = 0
    counts[:, 5] *= 0.37
    return AnnData(sparse.csr_matrix(counts), var=pd.DataFrame(index=[f"g{j}" for j in range(150)]))


def test_every_gene_comes_back(adata: AnnData) -> None:
    pack = Pack()
    header, text = _genes.pack_genes(adata, None, 1200, [], pack)
    found, counts = unpacked(header, text, pack, 1200), adata.to_df()
    assert list(found) == list(adata.var_names) and header["of"] == 150
    whole = counts.drop(columns=["g3", "g5"])
    assert (found[whole.columns].to_numpy() == whole.to_numpy()).all()
    np.testing.assert_allclose(found[["g3", "g5"]], counts[["g3", "g5"]], rtol=0.025)
    assert len(text) < 1.4 * (counts > 0).to_numpy().sum()


def test_counts_of_a_bin_are_summed(adata: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_genes, "_ROWS", 500)
    bins = np.arange(1200) // 4
    pack = Pack()
    header, text = _genes.pack_genes(adata, bins, 300, [], pack)
    found, sums = unpacked(header, text, pack, 300), adata.to_df().groupby(bins).sum()
    np.testing.assert_allclose(found, sums, rtol=0.025)


def test_where_room_is_short_the_genes_that_vary_the_most_stay(adata: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_genes, "MOST_ENTRIES", 20_000)
    header, _ = _genes.pack_genes(adata, None, 1200, ["g7"], Pack())
    counts = adata.to_df()
    vary = (counts.var() / counts.mean()).drop("g7").sort_values(ascending=False)
    kept = set(header["names"])
    assert "g7" in kept and header["of"] == 150 and 10 < len(kept) < 150
    assert kept - {"g7"} == set(vary.index[: len(kept) - 1])
    assert (counts[list(kept)] > 0).to_numpy().sum() <= 20_000


def test_a_slice_of_no_genes_of_note_is_packed() -> None:
    empty = AnnData(sparse.csr_matrix((5, 2), dtype=np.float32))
    header, text = _genes.pack_genes(empty, None, 5, [], Pack())
    assert header["names"] == ["0", "1"] and text.count("\n") == 0
