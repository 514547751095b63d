"""Digests of inputs, and names of domains."""

import hashlib
from pathlib import Path

import pytest
from spotfuse._core.errors import InputError
from spotfuse.pipeline import domain_names, provenance


def test_a_file_is_told_by_its_content_and_a_folder_by_its_files(tmp_path: Path):
    (tmp_path / "outs/spatial").mkdir(parents=True)
    (tmp_path / "outs/a.h5").write_bytes(b"abc")
    (tmp_path / "outs/spatial/b.csv").write_bytes(b"12345")
    assert provenance.digest(tmp_path / "outs/a.h5") == {"bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}
    first = provenance.digest(tmp_path / "outs")
    assert (first["bytes"], first["n_files"]) == (8, 2)
    (tmp_path / "outs/a.h5").write_bytes(b"abcd")
    assert provenance.digest(tmp_path / "outs") != first


def test_what_is_no_domain_is_refused(tmp_path: Path):
    (tmp_path / "names.csv").write_text("domain,name\nL2,upper\n")
    with pytest.raises(InputError, match=r"names\.csv: 'L2' is no domain"):
        domain_names.read(tmp_path / "names.csv")
