"""Runs of the profile `test` in real engines and executors; `make test-executors` starts them."""

import csv
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MACHINE = ROOT / "tests/executors/machine"
_CANNOT = 77  # exit status of `machine` where nothing can be set up
USER = 1000  # an ordinary one, without a name on this machine
SAMPLES = ("cortex", "starmap_left", "starmap_right")
OF_ALL = ("domains", "markers", "qc", "loss", "n_domains", "spatial_genes", "neighbourhoods")
OF_TWO = ("proportions", "deconvolution_fit")  # cortex has no reference
TABLES = OF_ALL + OF_TWO

# the same CPUs and room everywhere, whatever the executor thinks the machine has; training cut short
SETTINGS = "process.resourceLimits = [cpus: 2, memory: 6.GB]\n"
OPTIONS = ("--epochs", "10", "-ansi-log", "false")


@dataclass
class Run:
    """One run of the pipeline and what it left."""

    folder: Path
    status: int
    output: str

    def tables(self) -> dict[str, bytes]:
        """All tables of all slices."""
        found = (self.folder / "results" / sample / f"{name}.tsv" for sample in SAMPLES for name in TABLES)
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in found if path.exists()}

    def differences(self, other: "Run") -> list[str]:
        """Names of the tables that differ, or that only one of them has."""
        one, two = self.tables(), other.tables()
        return sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name))

    def trace(self) -> list[dict[str, str]]:
        """The newest trace, a row an attempt."""
        newest = max((self.folder / "results/pipeline_info").glob("execution_trace_*.txt"))
        with newest.open(newline="") as file:
            return list(csv.DictReader(file, delimiter="\t"))

    def failures(self) -> dict[str, str]:
        """Steps that failed, by slice."""
        with (self.folder / "results/cohort/failures.tsv").open(newline="") as file:
            return {row["sample"]: row["step"] for row in csv.DictReader(file, delimiter="\t")}


class Scratch:
    """A folder that everybody may read, with a copy of the repository, Nextflow, and the runs."""

    # further settings for a cluster that is idle: short waits
    slurm = """executor {
    pollInterval = '1 sec'
    queueStatInterval = '2 sec'
    submitRateLimit = '20/1sec'
    exitReadTimeout = '20 sec'
}
"""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repo = folder / "repo"
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o1777)
        shutil.rmtree(self.repo, ignore_errors=True)
        shutil.rmtree(folder / "runs", ignore_errors=True)
        self.repo.mkdir()
        (folder / "runs").mkdir()
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, stdout=-1
        ).stdout.decode()
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (self.repo / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.repo / name)
        (self.repo / ".venv").symlink_to(ROOT / ".venv")
        subprocess.run(["chmod", "-R", "go=rX", self.repo], check=True)
        (folder / "cache").mkdir(exist_ok=True)
        ours = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "spotfuse"
        for jars in ours.glob("nextflow-[0-9]*"):
            shutil.copytree(jars, folder / "cache" / jars.name, dirs_exist_ok=True)
        subprocess.run(["chmod", "-R", "go=rX", folder / "cache"], check=True)

    def machine(self, task: str) -> None:
        """Set something up; skip the test where root on Debian with room could not, and fail where it should have."""
        done = subprocess.run([MACHINE, self.folder, task], check=False, stderr=-1, stdout=-3, text=True)
        why = f"{task}: {(done.stderr.strip().splitlines() or ['?'])[-1]}"
        if done.returncode == _CANNOT:
            pytest.skip(why)
        assert done.returncode == 0, why

    def place(self, name: str, user: int = 0) -> Path:
        """Where a run is launched; there already when it is resumed."""
        folder = self.folder / "runs" / name
        folder.mkdir(exist_ok=True)
        os.chown(folder, user, user)
        return folder

    def environment(self) -> dict[str, str]:
        """What Nextflow needs to know."""
        return {
            "SPOTFUSE_CACHE": str(self.folder / "cache"),
            "SLURM_CONF": str(self.folder / "slurm/slurm.conf"),
            "CONTAINERS_CONF": str(self.folder / "podman/containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "podman/storage.conf"),
        }

    def command(self, folder: Path, profile: str, *options: str, settings: str = "") -> list[str]:
        """A command line that runs the pipeline with `settings` as further configuration."""
        config = folder / "further.config"
        config.write_text(SETTINGS + settings)
        nextflow = [str(self.repo / "tools/nextflow"), "-q", "run", str(self.repo), "-profile", profile]
        return [*nextflow, "-c", str(config), "--outdir", "results", *OPTIONS, *options]

    def start(
        self, folder: Path, command: list[str], user: int = 0, environment: dict[str, str] | None = None
    ) -> "subprocess.Popen[str]":
        """Start a run; user: 0, or one who is in the group that may use Docker."""
        if user:
            group = (Path("/var/run/docker.sock")).stat().st_gid
            command = ["setpriv", f"--reuid={user}", f"--regid={user}", f"--groups={group}", *command]
        command = ["env", "--default-signal=INT", *command]  # a shell's background jobs ignore it, and so would Java
        log = folder / f"log{len(list(folder.glob('log*')))}"
        own = {"HOME": str(folder), "NXF_HOME": str(folder / ".home")} | (environment or {})
        whole = os.environ | self.environment() | own
        with log.open("w") as output:
            return subprocess.Popen(command, cwd=folder, env=whole, stdout=output, stderr=subprocess.STDOUT, text=True)

    def end(self, folder: Path, process: "subprocess.Popen[str]") -> Run:
        """Wait for the run that was started last."""
        return Run(folder, process.wait(timeout=2400), max(folder.glob("log*")).read_text())

    def run(
        self,
        name: str,
        profile: str,
        *options: str,
        settings: str = "",
        user: int = 0,
        environment: dict[str, str] | None = None,
    ) -> Run:
        """Run the pipeline to its end."""
        folder = self.place(name, user)
        command = self.command(folder, profile, *options, settings=settings)
        return self.end(folder, self.start(folder, command, user, environment))

    def run_in_root(self, folder: Path, command: list[str]) -> Run:
        """Run it as an ordinary user in the root that has Apptainer."""
        environment = [f"{name}={value}" for name, value in self.environment().items()]
        enter = [str(MACHINE), str(self.folder), "enter", "env", *environment, "NXF_HOME=/home/tester/.nextflow"]
        with (folder / "log").open("w") as log:
            status = subprocess.run(
                [*enter, *command], cwd=folder, check=False, stdout=log, stderr=subprocess.STDOUT, timeout=2400
            ).returncode
        return Run(folder, status, (folder / "log").read_text())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count what ran in which engine, so that nobody takes a run without one for a run in all."""
    ran = [report for key in ("passed", "failed") for report in terminalreporter.stats.get(key, [])]
    # all but the tests named here run in Docker
    count = dict.fromkeys(("docker", "podman", "slurm", "apptainer", "newer_nextflow"), 0)
    for report in ran:
        named = [engine for engine in count if engine in report.nodeid.rpartition("::")[2]]
        for engine in named or ["docker"]:
            count[engine] += 1
    terminalreporter.write_line("ran in " + ", ".join(f"{engine}: {n} tests" for engine, n in count.items()))


@pytest.fixture(scope="session")
def scratch() -> Iterator[Scratch]:
    made = Scratch(Path(os.environ.get("SPOTFUSE_EXECUTORS", "/var/tmp/spotfuse-executors")))
    yield made
    subprocess.run([MACHINE, made.folder, "stop"], check=False)


@pytest.fixture(scope="session")
def images(scratch: Scratch) -> Callable[[str], str]:
    """Both images, in a running Docker; by the name of one, its full name."""
    scratch.machine("docker")
    scratch.machine("images")
    version = next(line.split("'")[1] for line in (ROOT / "nextflow.config").open() if " version " in line)
    return lambda name: f"spotfuse/{name}:{version}"


@pytest.fixture(scope="session")
def undisturbed(scratch: Scratch, images: Callable[[str], str]) -> Run:
    """The profile `test` in Docker, as an ordinary user, with as little allowed as can be."""
    tight = "--network none --read-only --cap-drop ALL --security-opt no-new-privileges"
    settings = f"docker.runOptions = '-u $(id -u):$(id -g) {tight}'\n"
    made = scratch.run("docker", "test,docker", settings=settings, user=USER)
    assert made.status == 0, made.output
    assert len(made.tables()) == len(OF_ALL) * len(SAMPLES) + len(OF_TWO) * 2, sorted(made.tables())
    return made


@pytest.fixture(scope="session")
def local(scratch: Scratch, root: Path) -> Run:
    """The profile `test` in the environment that `make setup` made."""
    if not (root / ".venv").exists():
        pytest.skip("make setup has not run")
    made = scratch.run("local", "test")
    assert made.status == 0, made.output
    return made
