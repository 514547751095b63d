"""One answer from newer Nextflows than the one that tools/nextflow brings; they cannot be fetched everywhere."""

import os
from pathlib import Path

import pytest

GIVEN = [Path(command) for command in os.environ.get("SPOTFUSE_NEXTFLOWS", "").split(":") if command]


@pytest.mark.parametrize("command", GIVEN or [None], ids=str)
def test_newer_nextflow(scratch, local, command: Path | None, tmp_path: Path) -> None:
    if command is None:
        pytest.skip("SPOTFUSE_NEXTFLOWS names no further Nextflow (commands, with colons between them)")
    (tmp_path / "nextflow").symlink_to(command.absolute())
    settings = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "NXF_SYNTAX_PARSER": "v2"}
    there = scratch.run(f"nextflow{GIVEN.index(command)}", "test", environment=settings)
    assert there.status == 0, there.output
    assert there.differences(local) == []
    assert "deprecated" not in there.output and "WARN" not in there.output
    again = scratch.run(f"nextflow{GIVEN.index(command)}", "test", "-resume", environment=settings)
    assert {row["status"] for row in again.trace()} == {"CACHED"}, again.output
