"""Domains against known ones: Spotfuse and its peers on the same slices with the same K; writes peers.md.

Run from the repository with the environment of `make setup`: `python benchmarks/domains/peers.py`; `--quick` takes the
smallest slice and the tools that are installed and done within minutes. Each peer gets an environment of its own under
`--work` and runs as a program of its own, called as its authors' tutorial does; one that cannot be installed or that
fails is reported with its error. What was measured is kept under `--work`: a second run measures what is missing.
Spotfuse runs as users run it, as the pipeline with a sample sheet. SPOTFUSE_DATA names the folder with the slices.
Truth is read here for scores alone.
"""

import argparse
import csv
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anndata
import pandas as pd
from scale import DATA, measured
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SLICES = {  # unlabelled and undetermined spots are not scored
    "BZ9": "starmap_mpfc/BZ9.h5ad",
    "BZ5": "starmap_mpfc/BZ5.h5ad",
    "visual_cortex": "starmap_visual_cortex/BY3_1k.h5ad",
    "A1": "her2st/A1.h5ad",
    "E1": "her2st/E1.h5ad",
    "H1": "her2st/H1.h5ad",
    "151673": "dlpfc/151673.h5ad",
    "151674": "dlpfc/151674.h5ad",
    "osmfish": "osmfish_ssp/osmfish.h5ad",
}
PEERS = {"leiden": "3.12", "banksy": "3.12", "stagate": "3.12", "spagcn": "3.11", "graphst": "3.11"}  # quick ones first
PACKAGES = {
    "leiden": "scanpy",
    "banksy": "pybanksy",
    "stagate": "stagate-modern",
    "spagcn": "SpaGCN",
    "graphst": "GraphST",
}
QUICK_SLICES, QUICK_PEERS = ("BZ9",), ("leiden",)
STEPS = ("PREPARE_SLICE", "TRAIN", "ASSIGN_DOMAINS")
UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
Row = dict[str, Any]


def truth(name: str, work: Path) -> pd.Series:
    """Known domains of the spots that are scored; written as a table too, for the pipeline."""
    labels = anndata.read_h5ad(DATA / SLICES[name], backed="r").obs["label"].astype("string")
    labels = labels[labels.notna() & ~labels.isin(["", "nan", "undetermined"])]
    labels.rename("label").to_csv(work / f"{name}.truth.tsv", sep="\t", index_label="spot")
    return labels


def scores(known: pd.Series, found: pd.Series) -> tuple[float, float]:
    """ARI and NMI; spots that a tool dropped are a class of their own."""
    found = found.reindex(known.index).astype("string").fillna("dropped")
    return adjusted_rand_score(known, found), normalized_mutual_info_score(known, found)


def installed(peer: str, folder: Path) -> str:
    """Make a peer's environment; why it cannot be made, or nothing."""
    if (folder / "complete").exists():
        return ""
    uv = shutil.which("uv") or str(Path.home() / ".cache/spotfuse/uv/bin/uv")
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))  # uv itself looks on PATH, then downloads one
    python = sorted(pyenv.glob(f"versions/{PEERS[peer]}.*/bin/python"))
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", str(python[-1]) if python else PEERS[peer], str(folder)],
        [
            uv,
            "pip",
            "install",
            "--quiet",
            "--python",
            str(folder / "bin/python"),
            "-r",
            str(HERE / f"peers/{peer}.txt"),
        ],
    ):
        done = subprocess.run(command, env=os.environ | {"RPY2_CFFI_MODE": "ABI"}, capture_output=True, text=True)
        if done.returncode:
            return last_line(done.stderr)
    (folder / "complete").touch()
    return ""


def last_line(text: str) -> str:
    """Give an error's last line, without paths."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return re.sub(r"/\S*/", "", lines[-1])[:200] if lines else "no message"


def run_peer(peer: str, name: str, work: Path) -> Row:
    """Measure and score a peer on a slice."""
    environment = work / "environments" / peer
    error = installed(peer, environment)
    if error:
        return {"error": f"not installed: {error}"}
    folder = work / f"{peer}_{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    known = truth(name, work)
    command = [str(environment / "bin/python"), str(HERE / f"peers/run_{peer}.py"), str(DATA / SLICES[name])]
    try:
        wall, processor, memory = measured([*command, str(known.nunique()), "domains.tsv"], folder)
    except SystemExit:
        return {"error": last_line((folder / "log").read_text(errors="replace"))}
    table = pd.read_csv(folder / "domains.tsv", sep="\t", index_col="spot", dtype=str)
    ari, nmi = scores(known, table["domain"])
    row = {"k": known.nunique(), "k_found": table["domain"].nunique(), "ari": ari, "nmi": nmi}
    row |= {"wall": wall, "cpu": processor, "memory": memory}
    if "refined" in table:
        row["ari_refined"], row["nmi_refined"] = scores(known, table["refined"])
    return row


def run_spotfuse(names: list[str], work: Path) -> dict[str, Row]:
    """Run the pipeline on slices, with and without refinement; a row each from metrics.json and the trace."""
    known = {name: truth(name, work) for name in names}
    with (work / "sheet.csv").open("w", newline="") as file:
        sheet = csv.writer(file)
        sheet.writerow(["sample", "data", "n_domains", "annotation"])
        for name in names:
            annotation = (work / f"{name}.truth.tsv").resolve()
            sheet.writerow([name, (DATA / SLICES[name]).resolve(), known[name].nunique(), annotation])
    rows: dict[str, Row] = {name: {"k": known[name].nunique()} for name in names}
    for suffix, refinement in (("_refined", "true"), ("", "false")):
        out = work / f"results{suffix}"
        shutil.rmtree(out / "pipeline_info", ignore_errors=True)
        command = [str(ROOT / "tools/nextflow"), "run", str(ROOT), "--input", "sheet.csv", "--outdir", str(out)]
        with (work / "nextflow.log").open("a") as log:
            subprocess.run(
                [*command, "--refinement", refinement, "--device", "cpu", "-resume"],
                cwd=work,
                stdout=log,
                stderr=log,
                check=True,
            )
        trace = pd.read_csv(next((out / "pipeline_info").glob("execution_trace_*.txt")), sep="\t")
        trace["process"] = trace["process"].str.split(":").str[-1]
        for name, row in rows.items():
            metrics = json.loads((out / name / "metrics.json").read_text())
            row[f"ari{suffix}"], row[f"nmi{suffix}"] = metrics["domains"]["ari"], metrics["domains"]["nmi"]
            row["k_found"] = metrics["n_domains"]
            steps = [step.lower() for step in STEPS]
            row["wall"] = sum(metrics["seconds"][step] for step in steps)
            row["memory"] = max(metrics["peak_rss_mb"][step] for step in steps) / 1024
            mine = trace[(trace["tag"] == name) & trace["process"].isin(STEPS)]
            row["cpu"] = sum(
                seconds(time) * float(str(share).rstrip("%")) / 100
                for time, share in zip(mine["realtime"], mine["%cpu"], strict=True)
            )
    return rows


def seconds(text: str) -> float:
    """Read Nextflow's times, such as 1m 3s."""
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ms|s|m|h)", text))


def table(results: dict[str, dict[str, Row]]) -> str:
    """Write all that was measured as Markdown."""
    lines = []
    for name in SLICES:
        rows = {tool: results[tool][name] for tool in ("spotfuse", *PEERS) if name in results.get(tool, {})}
        if not rows:
            continue
        lines += [f"## {name}", ""]
        lines += ["| | K found / wanted | ARI | ARI, refined | NMI | NMI, refined | processor s | wall s | peak GB |"]
        lines += ["|---|---|---|---|---|---|---|---|---|"]
        for tool, row in rows.items():
            label = "Spotfuse" if tool == "spotfuse" else PACKAGES[tool] + (", Leiden" if tool == "leiden" else "")
            if "error" in row:
                lines.append(f"| {label} | {row['error'].replace('|', '/')} |" + " |" * 7)
                continue
            cells = [f"{row['k_found']} / {row['k']}"]
            cells += [f"{row[key]:.3f}" if key in row else "" for key in ("ari", "ari_refined", "nmi", "nmi_refined")]
            cells += [f"{row['cpu']:.0f}", f"{row['wall']:.0f}", f"{row['memory']:.2f}" if "memory" in row else ""]
            lines.append(f"| {label} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Measure what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small slice, the quick tools; the table is printed")
    parser.add_argument("--slices", nargs="+", choices=SLICES, default=list(SLICES))
    parser.add_argument("--tools", nargs="+", choices=["spotfuse", *PEERS], default=["spotfuse", *PEERS])
    parser.add_argument("--work", type=Path, default=ROOT / "work/bench-domains")
    parser.add_argument("--out", type=Path, help="the table (default: peers.md here; with --quick only printed)")
    args = parser.parse_args()
    slices = list(QUICK_SLICES) if args.quick else args.slices
    tools = [tool for tool in args.tools if not args.quick or tool in ("spotfuse", *QUICK_PEERS)]
    work = args.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    kept = work / "measured.json"
    results: dict[str, dict[str, Row]] = json.loads(kept.read_text()) if kept.exists() else {}
    if "spotfuse" in tools:
        missing = [name for name in slices if name not in results.get("spotfuse", {})]
        if missing:
            results.setdefault("spotfuse", {}).update(run_spotfuse(missing, work))
            kept.write_text(json.dumps(results, indent=1))
    for peer in [tool for tool in tools if tool != "spotfuse"]:
        for name in slices:
            if name not in results.get(peer, {}):
                results.setdefault(peer, {})[name] = run_peer(peer, name, work)
                kept.write_text(json.dumps(results, indent=1))
                print(peer, name, results[peer][name], flush=True)
    text = table({tool: {name: results[tool][name] for name in slices if name in results[tool]} for tool in results})
    print(text)
    out = args.out or (None if args.quick else HERE / "peers.md")
    if out:
        out.write_text(HEAD.format(**facts()) + text)


HEAD = """# Domains against known ones

Written by `python benchmarks/domains/peers.py` on {date}, on one processor of {processor}, which others used at the
same time: compare processor seconds, not wall seconds. Spotfuse {spotfuse} as the pipeline runs it, its seconds and
memory those of the steps from preparation to labels; each peer as a program of its own, from start to labels:
{peers}. K is the annotated number; Leiden's resolution is halved until it gives K clusters or nearly so many.
Unlabelled and undetermined spots are not scored. One run each, with each tool's default seed.

"""


def facts() -> dict[str, str]:
    """Give what the head of the table tells."""
    with Path("/proc/cpuinfo").open() as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), platform.machine())
    pins = {peer: (HERE / f"peers/{peer}.txt").read_text() for peer in PEERS}
    named = [re.search(rf"(?im)^{PACKAGES[peer]}==\S+", pins[peer]) for peer in PEERS]
    sys.path.insert(0, str(ROOT / "bin"))
    from spotfuse import __version__

    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "processor": model,
        "spotfuse": f"{__version__} (torch {version('torch')}, Python {platform.python_version()})",
        "peers": ", ".join(found.group().replace("==", " ") for found in named if found),
    }


if __name__ == "__main__":
    main()
