"""What axe-core says of the reports: nothing serious, in light and dark, wide and narrow."""

from pathlib import Path

import pytest


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
@pytest.mark.parametrize("report", ["slice_report", "cohort_report", "matched_report"])
def test_no_serious_violation(visit, axe: str, report: str, width: int, scheme: str, request: pytest.FixtureRequest):
    path: Path = request.getfixturevalue(report)
    page = visit(path, width, color_scheme=scheme)
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    serious = [
        f"{one['id']}: {one['help']}: {[node['html'][:120] for node in one['nodes'][:3]]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert not serious, "\n".join(serious)
