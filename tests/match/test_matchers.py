"""What holds for every matcher, and a package of ten lines that adds one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from crosslook.cli import app
from crosslook.errors import MatchError, SettingError
from crosslook.extract.registry import open_extractor
from crosslook.geo.image import open_image
from crosslook.match.matchers import Matcher, matcher_places, open_matcher
from crosslook.match.pair import ImagePair
from crosslook.match.register import register
from crosslook.match.settings import DEFAULT_EXTRACTOR, RegisterSettings
from crosslook.match.starts import Start
from crosslook.match.tie_points import TiePoints
from crosslook.match.transform import Transform, grid_points, mean_distance, similarity
from tests.helpers.textured import textured_pair

SIDE = 320
TRUTH = similarity((6.0, -9.0), 1.0, 1.01, (SIDE / 2, SIDE / 2))

TEN_LINES = """
import cv2, numpy as np
from crosslook.match.matchers import Matcher
from crosslook.match.tie_points import TiePoints
from crosslook.match.warp import warp
class Edges(Matcher):
    # The edges in squares of 64 pixels, correlated with those up to 24 pixels away.
    def _tie_points(self, pair, start):
        sar, optical = warp(pair.sar, start.transform, pair.optical.shape), pair.optical
        here, there = (np.hypot(*np.gradient(cv2.GaussianBlur(i.values, (0, 0), 2))) for i in (sar, optical))
        corners = np.stack(np.mgrid[24 : here.shape[0] - 88 : 24, 24 : here.shape[1] - 88 : 24], -1).reshape(-1, 2)
        scores = [cv2.matchTemplate(there[r - 24 : r + 88, c - 24 : c + 88], here[r : r + 64, c : c + 64], 5) for r, c in corners]
        shifts = np.array([np.unravel_index(one.argmax(), one.shape) for one in scores]) - 24.0
        return TiePoints.of(start.transform.inverse(corners + 32.0), corners + 32.0 + shifts, np.array([one.max() for one in scores]))
"""  # noqa: E501

BROKEN = """
import numpy as np
from crosslook.match.matchers import Matcher
from crosslook.match.tie_points import TiePoints
class Nowhere(Matcher):
    def _tie_points(self, pair, start):
        return TiePoints.of(np.full((9, 2), np.nan), np.zeros((9, 2)))
class Empty(Matcher):
    def _tie_points(self, pair, start):
        return TiePoints.of(np.zeros((0, 2)), np.zeros((0, 2)))
X = 3
"""


def pair_of(truth: Transform) -> ImagePair:
    """Both images of a textured pair, as ``register`` reads them."""
    sar, optical = textured_pair(truth)
    grey = (
        open_image(sar, "sar").read().grey_image("sar"),
        open_image(optical, "optical").read().grey_image("optical"),
    )
    return ImagePair.of(*grey, open_extractor(DEFAULT_EXTRACTOR))


def keeps_the_contract(matcher: Matcher) -> None:
    """Tie points of the agreed form, of which most lead where the image lies; the same twice."""
    pair = pair_of(TRUTH)
    start = Start(pair.start)
    points, again = (matcher.tie_points(pair, start) for _ in range(2))
    assert len(points) >= 12
    assert points.sar.shape == points.optical.shape == (len(points), 2)
    off = np.linalg.norm(TRUTH(points.sar) - points.optical, axis=1)
    assert np.median(off) < 3.0
    np.testing.assert_array_equal(points.optical, again.optical)
    assert (points.ratio >= 1.0).all()
    elsewhere = pair_of(similarity((0.0, 0.0), 0.0, 1.0))
    moved = Start(similarity((5.0, 3.0)), is_posed=True)
    off = matcher.tie_points(elsewhere, moved)
    assert np.median(np.linalg.norm(off.sar - off.optical, axis=1)) < 3.0  # not where the start is


@pytest.mark.parametrize("name", matcher_places())
def test_every_matcher_keeps_the_contract(name: str) -> None:
    keeps_the_contract(open_matcher(RegisterSettings(matcher=name)))


def install(folder: Path, name: str, points: dict[str, str], code: str) -> None:
    """Lay out a package as pip would."""
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
    lines = "".join(f"{key} = {value}\n" for key, value in points.items())
    (info / "entry_points.txt").write_text(f"[crosslook.matchers]\n{lines}")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder where packages are installed for this test alone."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in ("tenlines", "broken"):
        sys.modules.pop(name, None)


def test_ten_lines_add_a_matcher_that_register_uses(site: Path, tmp_path: Path) -> None:
    install(site, "tenlines", {"edges": "tenlines:Edges"}, TEN_LINES)
    assert "edges" in matcher_places()
    keeps_the_contract(open_matcher(RegisterSettings(matcher="edges")))
    result = register(*textured_pair(TRUTH), matcher="edges", near_only=True)
    assert result.transform is not None
    assert mean_distance(result.transform, TRUTH, grid_points(SIDE, SIDE)) < 2.0
    # No confidence was fitted to its evidence, so there is none, and no error to expect.
    assert result.verdict == "uncertain"
    assert np.isnan(result.confidence)
    assert result.expected_error_px is None
    assert result.evidence.inliers > 12
    assert result.explanation.terms == ()
    result.write(tmp_path / "out")
    match = json.loads((tmp_path / "out" / "match.json").read_text())
    assert match["confidence"] is None
    assert match["settings"]["matcher"] == "edges"


def test_the_command_line_takes_it(site: Path, tmp_path: Path) -> None:
    install(site, "tenlines", {"edges": "tenlines:Edges"}, TEN_LINES)
    names = []
    for image in textured_pair(TRUTH):
        names.append(str(tmp_path / f"{image.header.name}.png"))
        cv2.imwrite(names[-1], image.stored[0].clip(0, 255).astype(np.uint8))
    call = ["register", *names, "--matcher", "edges", "--out", str(tmp_path / "out")]
    shown = CliRunner().invoke(app, [*call, "--near-only"])
    assert shown.exit_code == 3, shown.output
    assert "uncertain: confidence not fitted" in shown.output
    shown = CliRunner().invoke(app, call)  # what was found near the start is not denied
    assert "no place is sure with this matcher" in shown.output
    assert "fits nowhere" not in shown.output


def test_of_several_starts_the_one_that_points_agree_on_is_taken(site: Path) -> None:
    install(site, "tenlines", {"edges": "tenlines:Edges"}, TEN_LINES)
    truth = similarity((6.0, -9.0), 15.0, 1.0, (SIDE / 2, SIDE / 2))
    result = register(*textured_pair(truth), matcher="edges", model="similarity")
    assert result.search == "expanded"
    assert result.transform is not None
    assert mean_distance(result.transform, truth, grid_points(SIDE, SIDE)) < 3.0


def test_packages_that_cannot_serve_are_refused(site: Path) -> None:
    entries = {n: f"broken:{n}" for n in ("Missing", "X", "Nowhere", "Empty")}
    install(site, "broken", entries, BROKEN)
    with pytest.raises(SettingError, match="cannot be loaded"):
        open_matcher(RegisterSettings(matcher="Missing"))
    with pytest.raises(SettingError, match="no subclass"):
        open_matcher(RegisterSettings(matcher="X"))
    with pytest.raises(SettingError, match="Did you mean 'template'"):
        open_matcher(RegisterSettings(matcher="templat"))
    images = textured_pair(TRUTH)
    with pytest.raises(MatchError, match="finite"):
        register(*images, matcher="Nowhere")
    nothing = register(*images, matcher="Empty", near_only=True)
    assert (nothing.verdict, nothing.confidence) == ("no match", 0.0)
    install(site, "tenlines", {"template": "tenlines:Edges"}, TEN_LINES)
    with pytest.raises(SettingError, match="a name that is taken"):
        matcher_places()


def test_points_that_a_matcher_rejects_or_knows_less_exactly_count_less() -> None:
    from crosslook.match.robust_fit import fit_tie_points

    rng = np.random.default_rng(0)
    sar = rng.uniform(0, 300, (60, 2))
    optical = TRUTH(sar)
    optical[:20] += 0.6  # off, but not so far that a robust fit tells
    start = similarity((0.0, 0.0))
    std = np.where(np.arange(60) < 20, 5.0, 0.2)
    grid = grid_points(300, 300)

    def error(points: TiePoints) -> float:
        fit = fit_tie_points(points, start, "similarity", 3.5)
        assert fit is not None
        return mean_distance(fit.transform, TRUTH, grid)

    plain = TiePoints.of(sar, optical)
    assert error(plain) > 0.05
    assert error(TiePoints.of(sar, optical, std=std)) < 0.01
    rejected = plain.marked(np.arange(60) >= 20)
    assert error(rejected) < 1e-6
    fit = fit_tie_points(rejected, start, "similarity", 3.5)
    assert fit is not None
    assert not fit.inlier[:20].any()
    assert fit.inlier[20:].all()


def test_settings_reach_the_matcher() -> None:
    matcher: Any = open_matcher(RegisterSettings(seed=7, model="shift"))
    assert matcher.settings.seed == 7
    assert matcher.settings.model == "shift"
