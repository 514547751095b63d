"""Runs of real Nextflow on a copy of the pipeline, whose sources and sheets a test may change."""

import csv
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_PARTS = (
    "bin",
    "conf",
    "lib",
    "modules",
    "subworkflows",
    "assets",
    "main.nf",
    "nextflow.config",
    "nextflow_schema.json",
)


@dataclass
class Run:
    """What came of one `nextflow run`, the n-th of the session's."""

    n: int
    exit_status: int
    output: str
    outdir: Path
    trace: list[dict[str, str]] = field(default_factory=list)

    def tasks(self, *statuses: str) -> set[tuple[str, str]]:
        """Step and slice of the tasks that ended so."""
        return {(row["process"].split(":")[-1], row["tag"]) for row in self.trace if row["status"] in statuses}

    def table(self, name: str) -> list[dict[str, str]]:
        with (self.outdir / name).open() as lines:
            return list(csv.DictReader(lines, delimiter="\t"))


@dataclass
class Pipeline:
    """A copy of the pipeline, and a folder in which it is launched."""

    folder: Path
    launch: Path
    n_runs: int = 0

    def nextflow(self, *args: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ROOT / "tools/nextflow", *map(str, args)],
            cwd=self.launch,
            env=os.environ | {"NXF_ANSI_LOG": "false"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def run(self, *args: str | Path, outdir: str = "results") -> Run:
        self.n_runs += 1
        suffix = f"run{self.n_runs}"
        done = self.nextflow("run", self.folder, "--outdir", outdir, "--trace_report_suffix", suffix, *args)
        run = Run(self.n_runs, done.returncode, done.stdout, self.launch / outdir)
        trace = f"pipeline_info/execution_trace_{suffix}.txt"
        if (run.outdir / trace).exists():
            run.trace = run.table(trace)
        return run


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return copy(tmp_path_factory.mktemp("spotfuse"), tmp_path_factory.mktemp("launch"))


def copy(folder: Path, launch: Path) -> Pipeline:
    for part in _PARTS:
        source = ROOT / part
        folder.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__", "demo"))
        else:
            shutil.copy2(source, folder / part)
    if (ROOT / ".venv").exists():
        (folder / ".venv").symlink_to(ROOT / ".venv")
    return Pipeline(folder, launch)


@pytest.fixture
def own_pipeline(tmp_path: Path) -> Pipeline:
    """One that a test may change."""
    (tmp_path / "launch").mkdir()
    return copy(tmp_path / "spotfuse", tmp_path / "launch")


@pytest.fixture(scope="session")
def first_run(pipeline: Pipeline) -> Run:
    """The test profile, with nothing else given."""
    return pipeline.run("-profile", "test")
