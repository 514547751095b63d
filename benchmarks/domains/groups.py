#!/usr/bin/env python3
"""What slices gain or lose by being learned together: ARI alone and in a group, and how they mix; writes groups.md.

Run from the repository with the environment of `make setup`: `python benchmarks/domains/groups.py`; `--groups` takes
some of the groups, `--seeds` sets how often. With `--frames` the frames in which slices may lie (`--frame`) are
compared instead, by one seed. What was measured is kept under work/. SPOTFUSE_DATA names the folder with the slices.
The pipeline's own commands are run; truth is read here for scores alone.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

import anndata
import numpy as np
import pandas as pd
from scipy.spatial import cKDTree
from sklearn.metrics import adjusted_rand_score

sys.path.insert(0, str(ROOT / "bin"))

from generalisation import window
from spotfuse.group._placement import NUMBERS, Placement
from spotfuse.preparation import spacing

DATA = Path(os.environ.get("SPOTFUSE_DATA", ROOT.parent / "shared/data"))
GROUPS = {  # file; file:spots, a window of so many; file-label, without it; domains
    "dlpfc": (("dlpfc/151673.h5ad", "dlpfc/151674.h5ad"), 7),
    "mpfc": (("starmap_mpfc/BZ5.h5ad", "starmap_mpfc/BZ9.h5ad"), 4),
    "heart": (("heart_dev/5_CN74_E1.h5ad", "heart_dev/8_CN74_D2.h5ad"), 5),
    "synovium 2": (("ra_synovium/RA2_1.h5ad", "ra_synovium/RA2_4.h5ad"), 2),
    "synovium 3": (("ra_synovium/RA3_2.h5ad", "ra_synovium/RA3_4.h5ad"), 3),
    "one lacks a layer": (("starmap_mpfc/BZ5.h5ad-4", "starmap_mpfc/BZ9.h5ad"), 4),
    "mixed sizes": (
        (
            "dlpfc/151673.h5ad",
            "dlpfc/151673.h5ad:500",
            "dlpfc/151674.h5ad:262",
            "dlpfc/151674.h5ad:1000",
            "dlpfc/151674.h5ad:2000",
        ),
        7,
    ),
}
UNKNOWN = ("", "NA", "nan", "undetermined")


def run(folder: Path, step: str, sample: str, *args: object) -> None:
    """Run a step of the pipeline in a folder, unless it has been."""
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / f".{step}"
    if not done.exists():
        line = [sys.executable, str(ROOT / f"bin/{step}.py"), "--sample", sample, *map(str, args)]
        subprocess.run(line, cwd=folder, check=True, stderr=subprocess.DEVNULL)
        done.touch()


def source(work: Path, spec: str) -> tuple[str, Path]:
    """Name and file of a slice, or of the part of it that is asked for."""
    file, sign, rest = next((spec.partition(sign) for sign in ":-" if sign in spec), (spec, "", ""))
    if not sign:
        return Path(file).stem, DATA / file
    name = f"{Path(file).stem}_{rest}"
    path = work / f"{name}.h5ad"
    if not path.exists():
        adata = anndata.read_h5ad(DATA / file)
        if sign == ":":
            adata = window(adata, np.random.default_rng(int(rest)), int(rest))
        else:
            adata = adata[(adata.obs["label"].astype(str) != rest).to_numpy()].copy()
        path.parent.mkdir(parents=True, exist_ok=True)
        adata.write_h5ad(path)
    return name, path


def learned(folder: Path, prepared: Path, sample: str, n_domains: int, seed: int) -> Path:
    """Train and divide; give the folder with what came out."""
    out = folder / f"seed{seed}"
    run(out, "train", sample, "--prepared", prepared, "--seed", seed, "--device", "cpu")
    given = ("--prepared", prepared, "--embedding", "embedding.npz", "--n-domains", n_domains, "--seed", seed)
    run(out, "assign_domains", sample, *given)
    return out


def layers(prepared: Path, domains: Path) -> pd.DataFrame:
    """Domain and annotation of the annotated spots."""
    obs = anndata.read_h5ad(prepared, backed="r").obs
    table = pd.read_csv(domains, sep="\t", dtype={"spot": str}).set_index("spot")
    found = pd.DataFrame({"layer": obs["label"].astype(object), "domain": table["domain"].reindex(obs.index)})
    return found[found["layer"].notna() & ~found["layer"].astype(str).isin(UNKNOWN)].astype(str)


def same_layer(slices: list[pd.DataFrame]) -> int:
    """Domains whose most frequent layer is the same in every slice."""
    most = [part.groupby("domain")["layer"].agg(lambda names: names.value_counts().index[0]) for part in slices]
    agreed = pd.concat(most, axis=1).dropna()
    return int(agreed.nunique(axis=1).eq(1).sum())


def measured(work: Path, group: str, seeds: int) -> list[str]:
    """Rows of the table."""
    specs, n_domains = GROUPS[group]
    files = dict(source(work, spec) for spec in specs)
    names = list(files)
    prepared = {name: work / name / "prepared.h5ad" for name in names}
    for name, file in files.items():
        run(work / name, "prepare_slice", name, "--data", file)
    folder = work / group.replace(" ", "_")
    group = folder.name
    run(folder, "join_group", group, "--slices", *names, "--prepared", *prepared.values())
    alone: dict[str, list[float]] = {name: [] for name in names}
    together: dict[str, list[float]] = {name: [] for name in names}
    same, mixing = [], []
    for seed in range(1, seeds + 1):
        out = learned(folder, folder / "prepared.h5ad", group, n_domains, seed)
        run(out, "split_group", group, "--prepared", folder / "prepared.h5ad", "--learned", ".")
        mixing.append(pd.read_csv(out / f"{group}.mixing.tsv", sep="\t").iloc[0])
        parts = [layers(prepared[name], out / "slices" / name / "domains.tsv") for name in names]
        same.append(same_layer(parts))
        for name, part in zip(names, parts, strict=True):
            together[name].append(float(adjusted_rand_score(part["layer"], part["domain"])))
            own = learned(work / name, prepared[name], name, part["layer"].nunique(), seed)
            part = layers(prepared[name], own / "domains.tsv")
            alone[name].append(float(adjusted_rand_score(part["layer"], part["domain"])))
    rows = []
    for i, name in enumerate(names):
        first = (
            f"{min(same)} of {n_domains}",
            f"{np.median([row['ilisi'] for row in mixing]):.2f} ({mixing[0]['ilisi_at_random']:.2f})",
            f"{np.median([row['ari'] for row in mixing]):.3f}",
        )
        cells = [group, name, said(alone[name]), said(together[name]), *(first if i == 0 else ("", "", ""))]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def framed(work: Path, group: str) -> list[str]:
    """Rows of the table of frames: domains with each, and how well slices lie on each other."""
    files, n_domains = GROUPS[group]
    names = sorted(Path(file).stem for file in files)
    for name, file in zip(names, sorted(files), strict=True):
        run(work / name, "prepare_slice", name, "--data", DATA / file)
    prepared = {name: work / name / "prepared.h5ad" for name in names}
    turned = prepared | {names[1]: _turned(prepared[names[1]], work / f"{names[1]}_turned.h5ad")}
    rows = []
    for frame in ("own", "common", "transport"):
        folder = joined(work / f"{group}_{frame}", group, frame, prepared)
        out = learned(folder, folder / "prepared.h5ad", group, n_domains, 1)
        run(out, "split_group", group, "--prepared", folder / "prepared.h5ad", "--learned", ".")
        parts = [layers(prepared[name], out / "slices" / name / "domains.tsv") for name in names]
        scores = [f"{adjusted_rand_score(part['layer'], part['domain']):.3f}" for part in parts]
        cells = [group, frame, *scores, f"{same_layer(parts)} of {n_domains}"]
        if frame == "own":
            cells += ["", ""]
        else:
            other = folder if frame == "common" else joined(work / f"{group}_turned", group, frame, turned)
            cells += [touching(prepared, folder, group), touching(turned, other, group)]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def joined(folder: Path, group: str, frame: str, prepared: dict[str, Path]) -> Path:
    """Join slices; give the folder with what came out."""
    run(folder, "join_group", group, "--slices", *prepared, "--prepared", *prepared.values(), "--frame", frame)
    return folder


def touching(prepared: dict[str, Path], folder: Path, group: str) -> str:
    """Share of spots of the second slice that lie on one of the first with the same annotated layer."""
    table = pd.read_csv(folder / f"cohort/groups/{group}.alignment.tsv", sep="\t", dtype={"slice": str}).set_index(
        "slice"
    )
    slices = [anndata.read_h5ad(path) for path in prepared.values()]
    places = [
        Placement.from_numbers(table.loc[name])(adata.obsm["spatial"])
        for name, adata in zip(prepared, slices, strict=True)
    ]
    labels = [adata.obs["label"].astype(object).fillna("").astype(str).to_numpy() for adata in slices]
    known = [~np.isin(names, UNKNOWN) for names in labels]
    distance, nearest = cKDTree(places[0]).query(places[1])
    scored = known[1] & known[0][nearest]
    return f"{(labels[0][nearest] == labels[1])[scored & (distance < spacing(places[0]))].sum() / scored.sum():.3f}"


def _turned(prepared: Path, path: Path) -> Path:
    """Write a slice that lies elsewhere, turned by 60°."""
    adata = anndata.read_h5ad(prepared)
    turn = Placement.from_numbers(pd.Series([60, 0, 1, 1000, -500], NUMBERS))
    adata.obsm["spatial"] = turn(np.asarray(adata.obsm["spatial"], dtype=float))
    adata.write_h5ad(path)
    return path


def said(values: list[float]) -> str:
    """Median and range."""
    return f"{np.median(values):.3f} ({np.ptp(values):.3f})"


def compare_frames(work: Path, groups: str) -> None:
    """Measure the frames, and write their section."""
    head = ["group", "frame", "ARI of the first", "of the second", "same layer", "touching", "touching, turned by 60°"]
    rows = [row for group in groups.split(",") for row in framed(work, group)]
    table = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head), *rows]
    print("\n".join(table))
    path = HERE / "groups.md"
    before, _, after = path.read_text().partition("\n## One frame\n")
    text = f"""
## One frame

`--frame`: *own*, no slice lies on another; *common*, by the coordinates that come with them; *transport*, laid on each
other first. Adjusted Rand index of each slice, one seed. *Touching*: annotated spots of the second slice that come to
lie within a spot spacing on one of the first with the same layer, their share; also when the second slice was turned by
60° and shifted before.

`python benchmarks/domains/groups.py --frames --groups {groups}`, {pd.Timestamp.now("UTC").date()}:

"""
    rest = "\n## " + after.partition("\n## ")[2] if "\n## " in after else ""
    path.write_text(before + text + "\n".join(table) + "\n" + rest)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--groups", default=",".join(GROUPS), help="some of the groups, comma-separated")
    parser.add_argument("--seeds", type=int, default=3, help="seeds (default 3)")
    parser.add_argument("--work", type=Path, default=HERE / "work/groups", help="where results are kept")
    parser.add_argument("--frames", action="store_true", help="compare the frames in which slices of a group may lie")
    args = parser.parse_args()
    if args.frames:
        compare_frames(args.work.resolve(), args.groups)
        return
    head = ["group", "slice", "alone", "in the group", "same layer", "iLISI (at random)", "ARI of slices"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for group in args.groups.split(","):
        lines += measured(args.work.resolve(), group, args.seeds)
    print("\n".join(lines))
    command = f"python benchmarks/domains/groups.py --groups {args.groups} --seeds {args.seeds}"
    text = [
        "# Slices learned together",
        "",
        "Adjusted Rand index with the annotated number of domains, one set of defaults: each slice learned alone, and",
        f"the slices of a group learned together. Median of {args.seeds} seeds; in brackets the largest less the",
        "smallest. *Same layer*: domains whose most frequent annotated layer is the same in all slices, by the worst",
        "seed. *iLISI* and *ARI of slices* are those of `cohort/mixing.tsv`.",
        "",
        f"`{command}`, {pd.Timestamp.now('UTC').date()}:",
        "",
        *lines,
    ]
    path = HERE / "groups.md"
    sections = path.read_text().partition("\n## ")  # what other options wrote
    path.write_text("\n".join(text) + "\n" + "".join(sections[1:]))


if __name__ == "__main__":
    main()
