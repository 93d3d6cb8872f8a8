"""What is shown, by its name and place; without a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra 'web' is not installed")

from crosslook.explore import api
from crosslook.explore.jobs import Jobs, Limits
from crosslook.explore.library import Library, Shown


@pytest.mark.parametrize(
    ("text", "verdict", "confidence"),
    [
        ('{"verdict": "match", "confidence": 0.9}', "match", 0.9),
        ('{"verdict": "match", "confidence": null}', "match", None),
        ('{"verdict": {"a": []}, "confidence": "0.9"}', None, None),
        ('{"verdict": "sure", "confidence": 1e999}', None, None),
        ('{"verdict": "match", "confidence": NaN}', None, None),
        ('{"confidence": ' + "9" * 400 + "}", None, None),
        ("[" * 100_000, None, None),
        ("no JSON", None, None),
    ],
)
def test_a_match_of_others_does_not_take_the_list_with_it(
    tmp_path: Path, text: str, verdict: str | None, confidence: float | None
) -> None:
    (tmp_path / "match.json").write_text(text)
    library = Library(tmp_path / "tiles")
    library.add(str(tmp_path))
    (listed,) = json.loads(json.dumps(library.describe(), allow_nan=False))["matches"]
    assert (listed["verdict"], listed["confidence"]) == (verdict, confidence)


def test_a_located_image_is_shown_on_its_own_atlas(tmp_path: Path) -> None:
    library, jobs = Library(tmp_path / "tiles"), Jobs(tmp_path / "jobs", 0, Limits())
    job = jobs.add("locate", "chip", {"atlas": "land"}, {"atlas": "/first/land"})

    def atlas(*shown: tuple[str, str]) -> object:
        library._shown = {name: Shown(name, "atlas", place, False) for name, place in shown}
        return api._shown(jobs, library, job)["request"]["atlas"]

    assert atlas(("land", "/first/land")) == "land"
    # It was removed, and another one of its name was built; then it came out of the bin.
    assert atlas(("land", "/second/land")) is None
    assert atlas(("land", "/second/land"), ("land-2", "/first/land")) == "land-2"
    assert job.request == {"atlas": "land"}
