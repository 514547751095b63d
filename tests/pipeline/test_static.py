"""What can be said of the pipeline's files without running a slice."""

import argparse
import importlib.util
import json
import os
import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "modules").glob("*/main.nf"))
STEPS = [module.parent.name for module in MODULES]
WIRING = [ROOT / "main.nf", *sorted((ROOT / "subworkflows").glob("*/main.nf"))]
TOLD = json.loads((ROOT / "bin/spotfuse/pipeline/steps.json").read_text())
SCHEMA = json.loads((ROOT / "nextflow_schema.json").read_text())
PARAMETERS = {name: rule for group in SCHEMA["$defs"].values() for name, rule in group["properties"].items()}
READING = re.search(r"READING = \[(.*)\]", (ROOT / "lib/Sheet.groovy").read_text())[1].replace("'", "").split(", ")
PROFILES = "docker podman singularity apptainer conda slurm awsbatch google-batch k8s gpu".split()


@pytest.mark.parametrize("module", MODULES, ids=STEPS)
def test_every_step_is_complete(module: Path) -> None:
    text = module.read_text()
    step = module.parent.name
    assert re.search(rf"^process {step.upper()} {{$", text, re.M)
    for part in (
        r"label 'process_(single|low|medium)'",
        "script:",
        "stub:",
        r"\*\.status\.json}?'",
        "Stub.note",
        r"\$\{task.ext.args",
    ):
        assert re.search(part, text), part
    assert f"Sources.digest('{step}')" in text and "# ${task.ext.sources}" in text
    assert f"{step}.py" in text and os.access(ROOT / f"bin/{step}.py", os.X_OK)
    assert not re.search(r"^\s*container\b", text, re.M)
    if TOLD["steps"][step]["runs"] != "cohort":
        assert 'tag "${meta.id}"' in text


def test_the_pipeline_stands_on_one_screen() -> None:
    assert len(WIRING[0].read_text().splitlines()) <= 110
    for file in WIRING:
        lines = file.read_text().splitlines()
        assert [line for line in lines if len(line) > 120] == []
        # what is counted is counted by steps.json
        assert re.findall(r"(?:[-+*] |\? )\d", "\n".join(line.partition("//")[0] for line in lines)) == []


def test_the_version_stands_twice() -> None:
    from spotfuse import __version__

    kinds = ("*.toml", "*.config", "*.nf", "*.md", "[bclmst]*/**/*", "docs/*.md")
    files = {
        path for kind in kinds for path in ROOT.glob(kind) if path.is_file() and path.suffix not in (".h5ad", ".pyc")
    }
    files -= {ROOT / "CHANGELOG.md", *ROOT.glob("benchmarks/**/*"), *ROOT.glob("tests/**/*")}
    version = re.compile(rf"(?<![\d.=]){re.escape(__version__)}(?![\d.])")
    holding = {str(path.relative_to(ROOT)) for path in files if version.search(path.read_text(errors="replace"))}
    assert holding == {"bin/spotfuse/__init__.py", "nextflow.config"}


def test_steps_are_the_modules_in_the_order_in_which_a_slice_walks() -> None:
    assert sorted(TOLD["steps"]) == STEPS
    columns = json.loads((ROOT / "assets/schema_input.json").read_text())["items"]["properties"]
    assert {name for kind in TOLD["runs"].values() for names in kind for name in names} <= set(columns)
    before: list[str] = []
    for step, told in TOLD["steps"].items():
        assert told["runs"] in TOLD["runs"]
        needed = {name for names in told["needs"] for name in names}
        assert needed <= set(before) and needed <= set(told.get("takes", needed)) <= set(before), step
        if step == "collect_slice":
            assert told["takes"] == before
        before.append(step)


@pytest.mark.parametrize("step", TOLD["steps"]["collect_slice"]["takes"])
def test_a_step_makes_what_steps_tell(step: str) -> None:
    outputs = (ROOT / f"modules/{step}/main.nf").read_text().split("    output:\n")[1].split("    script:")[0]
    paths = re.findall(r"""path\(?\s*['"](.*?)['"]\)?\s*,""", outputs)
    names = [name for path in paths for name in path.strip("{}").replace("${meta.id}.", "").split(",")]
    patterns = {name for name in names if not name.startswith("cohort/")} - {"*.status.json"}
    patterns = {name.removeprefix("slices/*/") for name in patterns}
    files = {*TOLD["steps"][step]["makes"], *TOLD["steps"][step]["results"]}
    assert [file for file in files if not any(fnmatch(file, pattern) for pattern in patterns)] == []
    assert [pattern for pattern in patterns if not any(fnmatch(file, pattern) for file in files)] == []


def test_what_a_slice_waits_for_is_wired() -> None:
    wiring = "\n".join(file.read_text() for file in WIRING)
    for step in STEPS:
        assert wiring.count(f"include {{ {step.upper()} ") == 1, step
    for step in TOLD["steps"]["collect_slice"]["takes"]:
        assert re.search(rf"\b{step.upper()}\.out\.(parts|status)\b", wiring), step


@pytest.mark.parametrize("module", MODULES, ids=STEPS)
def test_a_value_is_one_word_with_its_option(module: Path) -> None:
    """What begins with a dash, as a file or a column may, is an option of its own otherwise."""
    script = module.read_text().split("    script:")[1].split("    stub:")[0]
    config = (ROOT / "conf/modules.config").read_text()
    several = {"slices", "prepared", "tables", "mixing", "z"}  # files and names that are ours, numbers
    assert set(re.findall(r"--([a-z-]+) [$\w]", script)) <= several
    assert re.findall(r'"--[a-z-]+ \$', config) == []


def test_what_nextflow_parses_at_start_needs_no_locale() -> None:
    """Java 17 reads it by the locale, and Nextflow refuses what C does not have."""
    files = [*WIRING, ROOT / "nextflow.config", *MODULES, *ROOT.glob("conf/*"), *ROOT.glob("lib/*")]
    assert [file for file in files if not file.read_bytes().isascii()] == []


def test_configuration_and_schema_agree(pipeline) -> None:
    shown = pipeline.nextflow("config", pipeline.folder, "-flat").stdout
    config = dict(re.findall(r"^params\.(\w+) = (.*)$", shown, re.M))
    assert set(config) == set(PARAMETERS)
    for name, rule in PARAMETERS.items():
        if name == "trace_report_suffix":  # the time of the start
            continue
        expected = rule.get("default")
        written = json.loads(config[name].replace("'", '"'))
        assert written == expected and type(written) is type(expected), name
    described = [name for group in SCHEMA["$defs"].values() for name in group["properties"]]
    assert len(described) == len(set(described))
    assert all(rule["description"] for rule in PARAMETERS.values())


@pytest.mark.parametrize("step", STEPS)
def test_commands_and_schema_agree(step: str) -> None:
    """A command alone does what the pipeline does: the same defaults, and no option that the pipeline cannot set."""
    spec = importlib.util.spec_from_file_location(step, ROOT / f"bin/{step}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    parser = argparse.ArgumentParser()
    module.arguments(parser)
    config = (ROOT / "conf/modules.config").read_text()
    block = re.search(rf"withName: '?(?:\w+\|)*{step.upper()}(?:\|\w+)*'? {{\n +ext(.*?)\n    }}", config, re.S)
    given = set(re.findall(r"--([a-z-]+)", block[1] if block else "")) - {"no-refinement"}
    options = {
        action.option_strings[0].removeprefix("--"): action for action in parser._actions if action.dest != "help"
    }
    assert given <= set(options)
    script = (ROOT / f"modules/{step}/main.nf").read_text()
    columns = json.loads((ROOT / "assets/schema_input.json").read_text())["items"]["properties"]
    for option, action in options.items():
        if option in given:
            parameter = {"method": "deconvolution"}.get(option, action.dest)
            assert action.default == PARAMETERS[parameter].get("default"), option
            if "enum" in PARAMETERS[parameter] and action.choices:
                assert list(action.choices) == PARAMETERS[parameter]["enum"], option
        elif action.dest in READING and "${reading}" in script:
            assert action.dest in columns
            assert action.default in (None, "auto"), option
        elif not re.search(f"--{option}[ =]", script):
            # a reference's faults take away cell types, not domains, so the check of the slice leaves it alone
            assert step == "check_slice" and option in {"reference", "cell-type-key"}, option


def test_profiles_of_engines_and_executors_parse(pipeline) -> None:
    done = pipeline.nextflow("config", pipeline.folder, "-show-profiles")
    assert done.returncode == 0, done.stdout
    for profile in PROFILES:
        assert re.search(rf"^   '?{profile}'? \{{$", done.stdout, re.M), profile


@pytest.mark.parametrize(("profile", "sheet"), [("test", "test"), ("test_full", "demo")])
def test_profiles_combine(pipeline, profile: str, sheet: str) -> None:
    done = pipeline.nextflow("config", pipeline.folder, "-profile", f"slurm,apptainer,gpu,{profile}", "-flat")
    assert done.returncode == 0, done.stdout
    assert "process.executor = 'slurm'" in done.stdout
    assert "apptainer.enabled = true" in done.stdout
    assert not re.search(r"(docker|podman|singularity)\.enabled = true", done.stdout)
    assert f"assets/{sheet}/samplesheet.csv" in done.stdout


def test_platforms_are_those_that_are_read() -> None:
    from spotfuse.io import _kinds

    sheet = json.loads((ROOT / "assets/schema_input.json").read_text())
    assert set(sheet["items"]["properties"]["platform"]["enum"]) == set(_kinds.PLATFORMS)


# what of Nextflow its documentation does not promise, by where it is used; a newer one may have it no more
INTERNALS = {
    "conf/base.config": [
        ".command.begin",
        "nextflow.util.SysHelper.getAvailCpus",
        "nextflow.util.SysHelper.getAvailMemory",
    ],
    "lib/Broken.groovy": [".command.err", ".command.log", "nextflow.Global.session.config", "nextflow.file.FileHelper"],
    "lib/Cache.groovy": [".exitcode"],
    "lib/Parameters.groovy": ["nextflow.Nextflow.error", "nextflow.file.FileHelper"],
    "lib/Published.groovy": ["nextflow.file.FileHelper"],
    "lib/Run.groovy": [
        ".exitcode",
        "nextflow.Global.session.abort",
        "nextflow.Global.session.aborted",
        "nextflow.Global.session.config",
        "nextflow.Nextflow",
        "nextflow.file.FileHelper",
    ],
    "lib/Sheet.groovy": ["nextflow.file.FileHelper.asPath"],
    "lib/Sources.groovy": ["nextflow.Global.session.baseDir"],
    "lib/Steps.groovy": ["nextflow.Global.session.baseDir"],
}


def test_internals_of_nextflow_are_listed() -> None:
    files = [*WIRING, *MODULES, ROOT / "nextflow.config", *ROOT.glob("conf/*"), *ROOT.glob("lib/*")]
    used = re.compile(
        r"nextflow\.Global\.session\.\w+|nextflow(?:\.[a-z]+)*(?:\.[A-Z]\w+)(?:\.\w+)?|(?<=')\.(?:command|exit)[.\w]*"
    )
    found = {str(file.relative_to(ROOT)): sorted(set(used.findall(file.read_text()))) for file in files}
    assert {name: names for name, names in found.items() if names} == INTERNALS


def test_steps_are_the_same_for_all_threads() -> None:
    """Operators ask for them at once; a map that fills when first asked was half full for some, and the run ended."""
    cache = Path(os.environ.get("SPOTFUSE_CACHE", Path.home() / ".cache/spotfuse"))
    nextflow = next(cache.glob("nextflow-24*/lib"), None)
    if nextflow is None:
        pytest.skip("tools/nextflow uses another Nextflow, whose classes cannot be loaded here")
    quick = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")  # as tools/nextflow starts it
    command = [
        "java",
        *quick,
        "-cp",
        f"{nextflow}/*",
        "groovy.ui.GroovyMain",
        ROOT / "tests/pipeline/threads.groovy",
        ROOT,
    ]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "0\n"
