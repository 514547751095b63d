"""Where there is no UTF-8 locale, as in cron, a bare container or after `sbatch --export=NONE`."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BARE = [{"LC_ALL": "C"}, {"LC_ALL": "POSIX"}, {"LANG": "xx_XX.UTF-8"}, {}]


def bare(variables: dict[str, str], **others: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "LANG" and not name.startswith("LC_")}
    return kept | variables | others


@pytest.mark.parametrize("variables", BARE, ids=str)
def test_a_nextflow_on_path_gets_one(tmp_path: Path, variables: dict[str, str]) -> None:
    own = tmp_path / "nextflow"
    own.write_text('#!/bin/sh\n[ "$1" = -v ] && echo nextflow version 99.0 || locale charmap\n')
    own.chmod(0o755)
    environment = bare(variables, PATH=f"{tmp_path}:{os.environ['PATH']}")
    done = subprocess.run([ROOT / "tools/nextflow", "run"], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "UTF-8\n"


def test_a_locale_that_there_is_stays(tmp_path: Path) -> None:
    own = tmp_path / "nextflow"
    own.write_text('#!/bin/sh\n[ "$1" = -v ] && echo nextflow version 99.0 || echo "$LANG ${LC_ALL:-none}"\n')
    own.chmod(0o755)
    environment = bare({"LANG": "C.UTF-8"}, PATH=f"{tmp_path}:{os.environ['PATH']}")
    done = subprocess.run([ROOT / "tools/nextflow", "run"], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "C.UTF-8 none\n"


def test_other_letters_in_paths_and_columns(pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sheet, data, results and a column, all the way to the command that reads them."""
    monkeypatch.setenv("LC_ALL", "C")
    folder = pipeline.launch / "Übersicht"
    folder.mkdir()
    (folder / "Schnitt ö.h5ad").symlink_to(pipeline.folder / "assets/test/starmap_left.h5ad")
    (folder / "Blätter.csv").write_text("sample,data,annotation\nA,Schnitt ö.h5ad,Größe µm\n", encoding="utf-8")
    run = pipeline.run("--input", "Übersicht/Blätter.csv", outdir="Ergebnis é")
    ((_, reason),) = [(row["sample"], row["reason"]) for row in run.table("cohort/failures.tsv")]
    assert "Schnitt ö.h5ad: no column 'Größe µm' for the annotation" in reason, run.output


def test_plain_nextflow_starts_and_says_what_it_cannot_name(pipeline, tmp_path: Path) -> None:
    """Java settles it at its start, so that only whoever starts it can help."""
    plain = tmp_path / "plain"
    text = (ROOT / "tools/nextflow").read_text()
    assert text.count("export LC_ALL=") == text.count(" -Dfile.encoding=UTF-8") == 1
    plain.write_text(text.replace("export LC_ALL=", "other=").replace(" -Dfile.encoding=UTF-8", ""))
    (tmp_path / "other.csv").write_text("sample,data\nA,ü.h5ad\n", encoding="utf-8")
    (tmp_path / "plain.csv").write_text("sample,data\nA,gone.h5ad\n")
    said = "has letters that the locale (ANSI_X3.4-1968) lacks: export LC_ALL=C.UTF-8, or start with tools/nextflow"
    for sheet, line in {
        "other.csv": f"other.csv: {said}",
        "plain.csv": "no such file",
        "ö.csv": f"--input {said}",
    }.items():
        done = subprocess.run(
            ["bash", plain, "run", pipeline.folder, "-stub-run", "--input", tmp_path / sheet],
            cwd=tmp_path,
            env=bare({}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1 and line in done.stdout, done.stdout
