"""The benchmark of domains: its quick form's table has the right shape. Times are not looked at."""

import os
import subprocess
import sys
from pathlib import Path

HEADER = "| | K found / wanted | ARI | ARI, refined | NMI | NMI, refined | processor s | wall s | peak GB |"


def test_quick_table(root: Path, data: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            str(root / "benchmarks/domains/peers.py"),
            *("--quick", "--tools", "spotfuse", "--work", str(tmp_path)),
        ],
        env=os.environ | {"SPOTFUSE_DATA": str(data)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.strip().splitlines()
    assert lines[0] == "## BZ9" and lines[2] == HEADER
    name, k, *figures = [cell.strip() for cell in lines[4].strip("|").split("|")]
    assert (name, k) == ("Spotfuse", "4 / 4")
    assert len(figures) == 7
    assert all(0 <= float(figure) <= 1 for figure in figures[:4])
    assert all(float(figure) > 0 for figure in figures[4:])
