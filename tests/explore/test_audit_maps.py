"""The explorer shows the page of a scene that an audit has mapped, and no other file."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from crosslook.errors import NotFoundError
from crosslook.explore.audits import map_report, read_audit


@pytest.fixture
def library(tmp_path: Path) -> Any:
    audit = tmp_path / "audit"
    (audit / "large").mkdir(parents=True)
    (audit / "large" / "report.html").write_text("a page")
    (tmp_path / "report.html").write_text("not of this audit")
    (audit / "audit.csv").write_text("scene,row,col,trusted\nlarge,1,2,1\nsmall,0,0,1\n..,0,0,1\n")
    with (audit / "audit.csv").open("a") as file:
        file.write(f"{'x' * 300},0,0,1\nzero\0byte,0,0,1\n")
    shown = SimpleNamespace(id="audit", path=audit, synthetic=False)
    return SimpleNamespace(get=lambda *_: shown, pairs_with=lambda _: None)


def test_scenes_with_a_map_are_named(library: Any, tmp_path: Path) -> None:
    shown = library.get("audit", "audit")
    assert read_audit(library, shown, tmp_path / "marks.json")["mapped"] == ["large"]
    assert map_report(library, "audit", "large").read_text() == "a page"


@pytest.mark.parametrize(
    "scene", ["small", "..", "/etc", "large/../large", "", "x" * 300, "zero\0byte"]
)
def test_what_is_no_map_of_this_audit_is_not_found(library: Any, scene: str) -> None:
    with pytest.raises(NotFoundError, match="has no map"):
        map_report(library, "audit", scene)
