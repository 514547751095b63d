"""tools/nextflow keeps Nextflow's classes for its next start where that can be; where not, it starts as ever."""

import fcntl
import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# notes each time that it is to make an archive, which some cannot; a run says how it was called, and fails
JAVA = """#!/bin/sh
case "$*" in
-version) echo "$JAVA_IS" ;;
*-XX:ArchiveClassesAtExit=*) echo "$JAVA_IS" >>"$TRIES"; [ "$JAVA_IS" = able ] && echo classes >new.jsa ;;
*) echo "$@"; exit 3 ;;
esac
"""


def test_classes_are_kept_once_for_each_java(tmp_path: Path) -> None:
    version = re.search(r"^version=(.*)$", (ROOT / "tools/nextflow").read_text(), re.M)[1]
    jars, tries = tmp_path / f"nextflow-{version}", tmp_path / "tries"
    (jars / "lib").mkdir(parents=True)
    (jars / "complete").touch()
    (tmp_path / "java").write_text(JAVA)
    (tmp_path / "java").chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SPOTFUSE_CACHE": str(tmp_path),
        "SPOTFUSE_LAUNCHING": "1",  # no Nextflow is looked for on PATH
        "TRIES": str(tries),
    }

    def archive(java: str) -> str:
        command = [ROOT / "tools/nextflow", "run", "it"]
        done = subprocess.run(command, env=environment | {"JAVA_IS": java}, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (3, "") and done.stdout.endswith("nextflow.cli.Launcher run it\n")
        return (re.findall(r"-XX:SharedArchiveFile=(\S+)", done.stdout) or [""])[0]

    for _ in range(2):
        assert Path(archive("able")).read_text() == "classes\n"
        assert archive("unable") == ""
    assert tries.read_text() == "able\nunable\n"
    with (jars / "making").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert archive("another's") == ""  # another launcher is at it
    assert tries.read_text() == "able\nunable\n" and not list(jars.glob("making.*"))
