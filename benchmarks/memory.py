"""Peak memory of each step against the size of a slice, beside what it asks for; writes memory.tsv.

Run from the repository with the environment of `make setup`: `python benchmarks/memory.py 30000 100000`. Slices are
tiled as by `benchmarks/domains/scale.py`. What a step asks for stands in `bin/spotfuse/pipeline/steps.json`, and
`tests/unit/pipeline/test_steps.py` holds it against this table. Seconds are not told: training is cut short.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "domains"))

from scale import BIN, DEMO, measured, tile


def run(n_spots: int, folder: Path) -> list[dict[str, object]]:
    """Take a slice from its check to its report."""
    data = folder / "slice.h5ad"
    tile(DEMO, data, n_spots)
    for name in ("meta", "params"):
        (folder / f"{name}.json").write_text('{"sample": "S"}')
    options: dict[str, list[object]] = {
        "check_slice": ["--data", data, "--annotation", "label"],
        "prepare_slice": ["--data", data],
        "train": ["--prepared", "prepared.h5ad", "--device", "cpu", "--epochs", 3],
        "assign_domains": ["--prepared", "prepared.h5ad", "--embedding", "embedding.npz", "--n-domains", 7],
        "collect_slice": [
            *("--parts", ".", "--meta", "meta.json", "--params", "params.json"),
            *("--data", data, "--annotation", "label"),
        ],
        "report_slice": ["--slice", "S"],
    }
    rows = []
    for step, given in options.items():
        command = [sys.executable, str(BIN / f"{step}.py"), "--sample", "S", *map(str, given)]
        _, processor, gigabytes = measured(command, folder)
        n_counts = json.loads((folder / "check.json").read_text())["n_counts"]
        rows.append({"step": step, "n_spots": n_spots, "n_counts": n_counts, "peak_mb": round(gigabytes * 1024)})
        print(*rows[-1].values(), f"{processor:.0f} s", flush=True)
    return rows


def main() -> None:
    """Measure slices of the sizes that are given; what was measured of others stays."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n_spots", nargs="+", type=int)
    path = HERE / "memory.tsv"
    for n_spots in parser.parse_args().n_spots:
        with tempfile.TemporaryDirectory() as folder:
            found = pd.DataFrame(run(n_spots, Path(folder)))
        if path.exists():
            before = pd.read_csv(path, sep="\t")
            found = pd.concat([before[before["n_spots"] != n_spots], found]).sort_values("n_spots", kind="stable")
        found.to_csv(path, sep="\t", index=False)


if __name__ == "__main__":
    main()
