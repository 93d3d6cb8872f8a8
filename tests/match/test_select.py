"""Maps that no similarity is: candidate models are compared, and hills are followed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from crosslook.data.simulate.scene import make_pair
from crosslook.data.simulate.write import write_pair
from crosslook.errors import GridError, InputError, SettingError
from crosslook.geo.grid import make_grid
from crosslook.geo.raster import RasterArray
from crosslook.match.register import register
from crosslook.match.robust_fit import fit_exact
from crosslook.match.select import (
    CandidateModel,
    _informed,
    _prefers_relief,
    _simplest,
    select_model,
)
from crosslook.match.settings import RegisterSettings, TransformModel
from crosslook.match.transform import (
    Affine,
    Projection,
    ReliefField,
    Transform,
    grid_points,
    mean_distance,
    similarity,
)
from tests.helpers.textured import textured_pair

SIDE = 320


def affine(linear: list[list[float]], shift: tuple[float, float] = (5.0, -4.0)) -> Transform:
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    centre = np.full(2, SIDE / 2)
    matrix[:2, 2] = centre + shift - matrix[:2, :2] @ centre
    return Transform(matrix, "affine")


def corners_moved() -> Transform:
    corners = np.array([[0, 0], [0, SIDE], [SIDE, 0], [SIDE, SIDE]], np.float64)
    moved = corners + np.array([[9, -8], [-7, 10], [-10, -6], [8, 9]])
    return fit_exact(corners, moved, "homography")


def error(transform: Transform | None, truth: Transform) -> float:
    assert transform is not None
    return mean_distance(transform, truth, grid_points(SIDE, SIDE))


@pytest.mark.parametrize(
    ("truth", "model"),
    [
        (similarity((6.0, -9.0), 1.0, 1.01, (SIDE / 2, SIDE / 2)), "similarity"),
        (affine([[1.05, 0.0], [0.0, 0.96]]), "affine"),
        (affine([[1.0, 0.09], [0.0, 1.0]]), "affine"),
        (corners_moved(), "homography"),
    ],
)
def test_the_simplest_model_that_predicts_is_taken(truth: Transform, model: str) -> None:
    result = register(*textured_pair(truth), near_only=True)
    assert result.verdict == "match"
    assert result.transform is not None
    assert result.transform.model == model
    assert error(result.transform, truth) < 1.0
    assert result.geometry is not None
    rows = {row["model"]: row for row in result.to_dict()["geometry"]["candidates"]}
    assert rows[model]["worse_px"] <= 0.1
    simpler = [m for m in ("shift", "similarity", "affine") if m != model][: len(rows)]
    for one in simpler[: ["shift", "similarity", "affine", "homography"].index(model)]:
        assert rows[one]["worse_px"] > rows[model]["worse_px"]


def test_a_similarity_that_is_off_is_taken_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a search of all poses whose last pass had few templates."""
    truth = similarity((6.0, -9.0), 1.0, 1.01, (SIDE / 2, SIDE / 2))
    off = similarity((2.0, 3.0), 0.8, 0.99, (SIDE / 2, SIDE / 2))
    given: list[float] = []

    def choose(pair: Any, current: Transform, request: Any) -> Any:
        moved = off @ current
        given.append(error(moved, truth))
        return select_model(pair, moved, request)

    monkeypatch.setattr("crosslook.match.register.select_model", choose)
    result = register(*textured_pair(truth), near_only=True)
    assert given[0] > 3.0
    assert result.transform is not None
    assert result.transform.model == "similarity"
    assert error(result.transform, truth) < 1.0


def candidates(**errors: tuple[float, float]) -> tuple[CandidateModel, ...]:
    """Candidates from their errors and the standard errors of what they are worse by."""
    best = min(error for error, _ in errors.values())
    return tuple(
        CandidateModel(cast("TransformModel", model), error, error - best, noise, float("nan"))
        for model, (error, noise) in errors.items()
    )


def informed(winner: TransformModel | None, **nats: float) -> TransformModel | None:
    """What mutual information makes of a winner."""
    return _informed(
        winner,
        tuple(
            CandidateModel(cast("TransformModel", m), 1.0, 0.0, 0.0, nat) for m, nat in nats.items()
        ),
    )


def test_mutual_information_objects_and_proposes() -> None:
    assert informed("affine", similarity=0.05, affine=0.051) == "affine"
    assert informed("affine", similarity=0.05, affine=0.04) == "similarity"
    assert informed("similarity", similarity=0.05, affine=0.06) == "similarity"  # as over hills
    assert informed("similarity", similarity=0.05, affine=0.08) == "affine"
    assert informed(None, similarity=0.05, affine=0.08) == "affine"
    assert informed(None, similarity=0.05, affine=0.055) is None
    assert informed("affine", similarity=0.02, affine=0.05, homography=0.07) == "homography"
    # What is refused gives way to the next best, not to nothing.
    assert informed("homography", similarity=0.05, affine=0.08, homography=0.04) == "affine"
    nan = float("nan")
    assert informed("shift", shift=0.0, similarity=0.0, affine=nan, homography=0.0) == "shift"


def test_little_gain_is_no_reason_for_more_unknowns() -> None:
    assert _simplest(candidates(similarity=(2.6, 0.1), affine=(2.0, 0.0))) == "similarity"
    assert _simplest(candidates(similarity=(3.2, 0.1), affine=(2.0, 0.0))) == "affine"
    # Much, but by chance.
    assert _simplest(candidates(similarity=(3.2, 1.3), affine=(2.0, 0.0))) == "similarity"
    assert _simplest(candidates(shift=(1.01, 0.1), similarity=(1.0, 0.0))) == "shift"
    assert _simplest(candidates(shift=(1.2, 0.3), similarity=(1.0, 0.0))) == "similarity"


def test_a_relief_has_to_take_away_a_tenth_and_its_own_noise() -> None:
    assert _prefers_relief(candidates(similarity=(2.6, 0.1), relief=(2.0, 0.0)), "similarity")
    assert not _prefers_relief(candidates(similarity=(2.1, 0.01), relief=(2.0, 0.0)), "similarity")
    assert not _prefers_relief(candidates(similarity=(2.6, 0.7), relief=(2.0, 0.0)), "similarity")
    worse = candidates(similarity=(3.0, 0.1), affine=(1.8, 0.0), relief=(2.0, 0.1))
    assert not _prefers_relief(worse, "affine")
    assert _prefers_relief(candidates(similarity=(4.0, 0.1), relief=(2.0, 0.0)), None)
    # A homography that follows outliers may be better by chance.
    chance = candidates(similarity=(3.0, 0.2), homography=(1.98, 0.0), relief=(2.0, 0.1))
    assert _prefers_relief(chance, "similarity")


def test_a_model_that_is_given_is_compared_with_no_other() -> None:
    truth = affine([[1.04, 0.0], [0.0, 0.97]])
    result = register(*textured_pair(truth), model="affine", near_only=True)
    assert result.transform is not None
    assert result.transform.model == "affine"
    assert error(result.transform, truth) < 1.0
    assert result.geometry is not None
    assert [row["model"] for row in result.geometry["candidates"]] == ["affine"]


def hills(tmp_path: Path, seed: int = 1, relief: float = 140.0) -> tuple[Path, Path, Path]:
    """SAR image whose hills are displaced, optical image and elevation model, georeferenced."""
    import rasterio

    made = make_pair(size=384, seed=seed, relief=relief, uncorrected=True)
    write_pair(tmp_path, "hills", made.settings, (300_000.0, 5_500_000.0))
    optical, sar = (tmp_path / part / "hills.tif" for part in ("optical", "sar"))
    with rasterio.open(optical) as file:
        profile = {**file.profile, "count": 1, "dtype": "float32", "photometric": None}
    profile = {k: v for k, v in profile.items() if k not in ("photometric", "predictor", "nodata")}
    with rasterio.open(tmp_path / "dem.tif", "w", **profile) as file:
        file.write(made.displacement.height, 1)
    return sar, optical, tmp_path / "dem.tif"


def followed(transform: Transform | None, seed: int = 1, relief: float = 140.0) -> float:
    """Fraction of the ground in neither layover nor shadow that is found within 2 px."""
    assert transform is not None
    truth = make_pair(size=384, seed=seed, relief=relief, uncorrected=True).displacement
    rows, cols = np.mgrid[2:384:4, 2:384:4].reshape(2, -1)
    seen = ~(truth.layover | truth.shadow)[rows, cols]
    ground = np.column_stack([rows, cols]) + 0.5
    there = ground - np.column_stack([np.zeros(len(rows)), truth.columns[rows, cols]])
    off = np.linalg.norm(transform.inverse(ground) - there, axis=1)[seen]
    return float((off <= 2.0).mean())


@pytest.mark.slow
def test_hills_are_followed_with_and_without_heights(tmp_path: Path) -> None:
    sar, optical, dem = hills(tmp_path)
    flat = register(sar, optical, model="similarity", near_only=True)
    bent = register(sar, optical, model="relief", near_only=True)
    known = register(sar, optical, model="relief", dem=dem, near_only=True)
    fractions = [followed(one.transform) for one in (flat, bent, known)]
    assert fractions[0] < 0.4
    assert fractions[1] > 0.75
    assert fractions[2] > 0.88
    assert known.geometry is not None
    per_metre = 1 / np.tan(np.radians(38.0)) / 10
    assert known.geometry["relief"]["px_per_metre"] == pytest.approx(per_metre, rel=0.15)
    assert abs(known.geometry["relief"]["range_degrees"]) < 10
    # The way there and back is one way, and the tie points lie on it.
    points = bent.tie_points
    assert bent.transform is not None
    back = bent.transform.inverse(bent.transform(points.sar))
    assert np.abs(back - points.sar).max() < 1e-6
    given = register(
        sar, optical, model="relief", dem=dem, heading=0.0, incidence=38.0, near_only=True
    )
    assert followed(given.transform) > 0.88


def test_relief_goes_there_and_back_and_through_json() -> None:
    rows, cols = np.mgrid[0:40, 0:40]
    values = np.zeros((40, 40, 2))
    values[..., 1] = 10 * np.exp(-((rows - 20) ** 2 + (cols - 18) ** 2) / 60)
    base = similarity((3.0, 5.0), 20.0, 1.1, (80.0, 80.0))
    bent = Transform(ReliefField.on_grid(values, 4.0, Affine(base.matrix)), "relief")
    points = np.random.default_rng(0).uniform(10, 140, (100, 2))
    assert np.abs(bent.inverse(bent(points)) - points).max() < 1e-6
    moved = similarity((7.0, 2.0), 10.0, 0.5) @ bent @ similarity((1.0, 1.0), 5.0)
    first = similarity((1.0, 1.0), 5.0)
    expected = similarity((7.0, 2.0), 10.0, 0.5)(bent(first(points)))
    assert np.abs(moved(points) - expected).max() < 1e-6
    again = Transform.from_dict(moved.to_dict())
    assert np.abs(again(points) - moved(points)).max() < 2e-3
    assert again.model == "relief"
    # Between two CRSs the projection comes first, in both directions.
    here = make_grid("EPSG:4326", (1e-4, 0, 15.0, 0, -1e-4, 49.0), 160, 160)
    there = make_grid("EPSG:32633", (10.0, 0, 500_000.0, 0, -10.0, 5_427_700.0), 160, 160)
    placed = Transform(Projection(here, there), "shift")
    whole = bent @ placed
    assert np.abs(whole(points) - bent(placed(points))).max() < 1e-6
    assert np.abs(whole.inverse(whole(points)) - points).max() < 1e-5


def test_points_and_masks_that_are_given_are_used(tmp_path: Path) -> None:
    truth = similarity((90.0, -70.0), 24.0, 1.0, (SIDE / 2, SIDE / 2))
    sar, optical = textured_pair(truth)
    at = np.array([[100.0, 100.0], [200.0, 150.0], [120.0, 240.0]])
    there = truth(at) + 2.0
    rows = [",".join(map(str, [*a, *b])) for a, b in zip(at, there, strict=True)]
    table = tmp_path / "points.csv"
    table.write_text("sar_row,sar_col,optical_row,optical_col\n" + "\n".join(rows))
    lost = register(sar, optical, near_only=True)
    assert lost.verdict != "match"
    result = register(sar, optical, near_only=True, points=table)
    assert result.verdict == "match"
    assert error(result.transform, truth) < 2.0
    qgis = tmp_path / "set.points"
    lines = [f"{b[1]},{-b[0]},{a[1]},{-a[0]},{1}" for a, b in zip(at, there, strict=True)]
    qgis.write_text("mapX,mapY,sourceX,sourceY,enable\n" + "\n".join([*lines, "1,1,1,1,0"]))
    assert register(sar, optical, near_only=True, points=qgis).verdict == "match"
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="columns"):
        register(sar, optical, points=tmp_path / "bad.csv")


def test_what_is_masked_is_not_matched(tmp_path: Path) -> None:
    import rasterio

    sar, optical = textured_pair(similarity((5.0, 5.0)))
    half = np.zeros((SIDE, SIDE), np.uint8)
    half[:, SIDE // 2 :] = 1
    mask = tmp_path / "mask.tif"
    with rasterio.open(
        mask, "w", driver="GTiff", count=1, height=SIDE, width=SIDE, dtype="uint8"
    ) as file:
        file.write(half, 1)
    result = register(sar, optical, mask=mask, near_only=True)
    assert result.tie_points.sar[:, 1].min() > SIDE / 2
    assert error(result.transform, similarity((5.0, 5.0))) < 2.0
    narrow = RasterArray.of(optical.stored[:, :, :-10].copy(), name="narrow")
    with pytest.raises(GridError, match="mask"):
        register(sar, narrow, optical_mask=mask)


def test_options_that_say_nothing_are_refused() -> None:
    with pytest.raises(SettingError, match="--dem"):
        RegisterSettings(incidence=38.0)
