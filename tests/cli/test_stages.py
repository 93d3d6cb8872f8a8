"""What is being done, with seconds, on the standard error."""

from __future__ import annotations

import io
import time

import pytest

from crosslook.cli.stages import StageLine, shown_stages
from crosslook.progress import stage


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_one_line_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Terminal()
    monkeypatch.setattr("sys.stderr", target)
    with shown_stages() as line:
        stage("tie points")
        line.item = "3 of 20, sim-0003"
        line.draw()
        assert "3 of 20, sim-0003: finding tie points, 0 s (in all 0 s)" in target.getvalue()
    assert target.getvalue().endswith("\r\x1b[K")
    assert "\n" not in target.getvalue()


def test_elsewhere_a_line_comes_where_a_stage_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSLOOK_PROGRESS_SECONDS", "0.05")
    target = io.StringIO()
    line = StageLine(target)
    line.heard("search", 2, 8)
    line.draw()
    assert target.getvalue() == ""
    time.sleep(0.06)
    line.draw()
    line.clear()
    assert target.getvalue() == "searching the atlas 2 of 8, 0 s\n"
