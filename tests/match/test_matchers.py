"""What holds for every matcher, and a package of ten lines that adds one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib.util import find_spec
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
from crosslook.geo.raster import RasterArray
from crosslook.match.matchers import Matcher, features_of, open_matcher
from crosslook.match.matchers.rows import all_rows
from crosslook.match.pair import ImagePair
from crosslook.match.register import register
from crosslook.match.settings import DEFAULT_EXTRACTOR, RegisterSettings
from crosslook.match.starts import Start
from crosslook.match.tie_points import TiePoints
from crosslook.match.transform import Transform, grid_points, mean_distance, similarity
from crosslook.match.warp import opencv_matrix
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


REVERSED = ("template", "mutual-information", "edges")
"""Matchers that find what is dark in one image and bright in the other."""


def pair_of(truth: Transform, name: str = "template") -> ImagePair:
    """Both images of a textured pair, as ``register`` reads them."""
    sar, optical = textured_pair(truth) if name in REVERSED else one_sensor(truth)
    grey = (
        open_image(sar, "sar").read().grey_image("sar"),
        open_image(optical, "optical").read().grey_image("optical"),
    )
    return ImagePair.of(*grey, open_extractor(DEFAULT_EXTRACTOR))


def one_sensor(truth: Transform) -> tuple[RasterArray, RasterArray]:
    """A textured pair that both show what is bright as bright, without noise."""
    _, optical = textured_pair(truth)
    matrix, size = opencv_matrix(truth.inverse), (SIDE, SIDE)
    seen = cv2.warpPerspective(optical.stored[0].astype(np.float32), matrix, size)
    inside = cv2.warpPerspective(np.ones(size, np.float32), matrix, size) > 0.999
    return RasterArray.of(seen.astype(np.uint8), inside, name="sar"), optical


def keeps_the_contract(matcher: Matcher) -> None:
    """Tie points of the agreed form, of which most lead where the image lies; the same twice."""
    name = matcher.settings.matcher
    pair = pair_of(TRUTH, name)
    start = Start(pair.start)
    points, again = (matcher.tie_points(pair, start) for _ in range(2))
    assert len(points) >= 12
    assert points.sar.shape == points.optical.shape == (len(points), 2)
    off = np.linalg.norm(TRUTH(points.sar) - points.optical, axis=1)
    assert np.median(off) < 3.0
    np.testing.assert_array_equal(points.optical, again.optical)
    assert (points.ratio >= 1.0).all()
    elsewhere = pair_of(similarity((0.0, 0.0), 0.0, 1.0), name)
    moved = Start(similarity((5.0, 3.0)), is_posed=True)
    off = matcher.tie_points(elsewhere, moved)
    assert np.median(np.linalg.norm(off.sar - off.optical, axis=1)) < 3.0  # not where the start is


@pytest.mark.parametrize("name", all_rows())
def test_every_matcher_keeps_the_contract(name: str) -> None:
    row = all_rows()[name]
    absent = [one for one in row.needs if find_spec(one) is None]
    if absent:
        pytest.skip(f"{', '.join(absent)} of the extra {row.extra} is not installed")
    keeps_the_contract(open_matcher(RegisterSettings(matcher=name)))


@pytest.mark.parametrize("name", ["sift", "phase-correlation", "efolki"])
def test_classical_matchers_register_one_sensor_and_say_nothing_of_how_sure(name: str) -> None:
    result = register(*one_sensor(TRUTH), matcher=name, near_only=True)
    assert result.transform is not None
    assert mean_distance(result.transform, TRUTH, grid_points(SIDE, SIDE)) < 1.0
    assert result.verdict == "uncertain"
    assert np.isnan(result.confidence)


def test_refinement_and_model_follow_the_fit_only_where_asked() -> None:
    images = one_sensor(TRUTH)
    published = register(*images, matcher="phase-correlation", near_only=True)
    assert published.transform is not None
    assert published.transform.model == "similarity"
    assert published.geometry is None
    refined = register(*images, matcher="phase-correlation", near_only=True, refine=True)
    assert refined.geometry is not None
    affine = register(*images, matcher="phase-correlation", near_only=True, model="affine")
    assert affine.transform is not None
    assert affine.transform.model == "affine"
    with pytest.raises(SettingError, match="--refine"):
        register(*images, matcher="sift", model="relief")


def test_the_gate_is_the_largest_distance_of_an_inlier() -> None:
    images = one_sensor(TRUTH)
    counts = [
        register(*images, matcher="phase-correlation", near_only=True, gate=gate).evidence.inliers
        for gate in (0.05, 3.0)
    ]
    assert counts[0] < counts[1]


def test_an_extractor_by_its_name_is_template_over_its_features() -> None:
    images = textured_pair(TRUTH)
    by_name = register(*images, matcher="hog:cell=4,blur=1", near_only=True)
    spelled = register(*images, extractor="hog:cell=4,blur=1", near_only=True)
    assert by_name.transform is not None
    assert spelled.transform is not None
    np.testing.assert_array_equal(by_name.tie_points.optical, spelled.tie_points.optical)
    assert np.isnan(by_name.confidence)  # the verdict was fitted on other features
    assert not np.isnan(register(*images, near_only=True).confidence)
    assert features_of("template:dinov2:large,layer=9") == "dinov2:large,layer=9"
    assert features_of("sift") == ""


def test_points_of_one_transform_are_no_evidence_of_each_other() -> None:
    from crosslook.match.align import against_chance

    points = TiePoints.of_transform(TRUTH, (SIDE, SIDE))
    assert points.stage is not None
    assert against_chance(points, points.stage)[1] == 0.0


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
    assert "edges" in all_rows()
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
        all_rows()


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
