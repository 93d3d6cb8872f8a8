"""Synthetic pairs as georeferenced files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslook import __version__
from crosslook.atomic import atomic_path, check_writable, sweep, write_text
from crosslook.data.simulate.noise import mix
from crosslook.data.simulate.scene import (
    SceneSettings,
    SimulatedPair,
    make_pair,
    truth_matrix,
)
from crosslook.data.simulate.settings import SceneOptions
from crosslook.errors import OutputError, SettingError
from crosslook.options import after_two
from crosslook.progress import track

TAG = "CROSSLOOK_SYNTHETIC"
"""GeoTIFF tag, value ``yes``, of every file that the simulator writes."""
CRS = "EPSG:32633"
MOST_PAIRS = 100_000

_WEST, _NORTH = 300_000.0, 5_500_000.0
_PER_ROW = 10
_TRUTH = "truth.json"
_PARTS = ("optical", "sar")


@after_two(SceneOptions)
def write_pairs(out: Path | str, count: int, settings: SceneOptions) -> list[str]:
    """Write pairs of separate worlds as GeoTIFFs, with their truth.

    ``out/optical/<id>.tif`` is uint8 red, green, blue; ``out/sar/<id>.tif``
    float32 linear intensity. Both claim the same UTM grid: where a shift,
    rotation or scale is set, the SAR file's georeference is wrong by it.
    ``truth.csv`` has the matrix of every pair, ``truth.json`` the settings
    beside them. An earlier call of the same settings that was stopped is gone
    on with; the files of another one are replaced.

    Parameters
    ----------
    out : path
    count : int
        Pairs, 1 to 100,000.
    settings : SceneOptions
        Or its fields as keywords.

    Returns
    -------
    list of str
        The ids, ``sim-0000`` and so on.

    Raises
    ------
    SettingError
        For a value that is not allowed.
    OutputError
        If the folder cannot be written or holds anything else.
    """
    folder = Path(out)
    base = SceneSettings(**settings.model_dump(include=set(SceneOptions.model_fields)))
    if not 1 <= count <= MOST_PAIRS:
        raise SettingError(f"count is {count}; 1 to {MOST_PAIRS} pairs are allowed.")
    scenes = {f"sim-{i:04d}": _settings_of(base, i) for i in range(count)}
    sweep(folder)
    truth = _truth_json(scenes)
    kept = set(scenes) if _is_text(folder / _TRUTH, truth) else set()
    _make_room(folder, kept)
    check_writable(folder)
    # The truth goes first: it tells a later call that the files are ours.
    write_text(folder / _TRUTH, truth)
    write_text(folder / "truth.csv", _truth_csv(scenes))
    for index, (name, scene) in enumerate(track(scenes.items(), "Simulating pairs", total=count)):
        if not all((folder / part / f"{name}.tif").exists() for part in _PARTS):
            write_pair(folder, name, _render(scene), _place(index, scene))
    return list(scenes)


def _is_text(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()


def write_pair(folder: Path, name: str, pair: SimulatedPair, corner: tuple[float, float]) -> None:
    """Write one pair into ``optical/`` and ``sar/``; ``corner`` is west, north in UTM."""
    gsd = pair.settings.gsd
    for part, bands in (("optical", pair.optical), ("sar", pair.sar[None])):
        with atomic_path(folder / part / f"{name}.tif") as path:
            _write_raster(path, bands, corner, gsd, pair.settings)


def profile_of(corner: tuple[float, float], gsd: float, bands: int, dtype: str) -> dict[str, Any]:
    """Creation options of the simulator's GeoTIFFs, without height and width."""
    from rasterio.transform import from_origin

    return {
        "driver": "GTiff",
        "count": bands,
        "dtype": dtype,
        "crs": CRS,
        "transform": from_origin(*corner, gsd, gsd),
        "compress": "deflate",
        "zlevel": 1,
        "bigtiff": "if_safer",
        **({"photometric": "RGB", "predictor": 2} if bands == 3 else {}),
    }


def tags_of(settings: SceneSettings) -> dict[str, str]:
    """The tags of a file: that it is synthetic, and how it was made."""
    return {TAG: "yes", "CROSSLOOK_SETTINGS": json.dumps(settings.as_dict(), sort_keys=True)}


def _write_raster(
    path: Path,
    bands: NDArray[Any],
    corner: tuple[float, float],
    gsd: float,
    settings: SceneSettings,
) -> None:
    import rasterio

    count, height, width = bands.shape
    profile = profile_of(corner, gsd, count, bands.dtype.name)
    with rasterio.open(path, "w", height=height, width=width, **profile) as file:
        file.write(bands)
        file.update_tags(**tags_of(settings))


def _settings_of(base: SceneSettings, index: int) -> SceneSettings:
    if not index:
        return base
    # A world of its own per scene; the first is the seed's, as in make_pair.
    seed = int(mix(base.seed & 0xFFFFFFFF, base.seed >> 32, index))
    return base.model_copy(update={"seed": seed})


def _render(settings: SceneSettings) -> SimulatedPair:
    return make_pair(**settings.model_dump())


def _place(index: int, settings: SceneSettings) -> tuple[float, float]:
    """Upper left corners on a grid whose scenes do not touch."""
    step = 1.25 * settings.size * settings.gsd
    row, col = divmod(index, _PER_ROW)
    return _WEST + col * step, _NORTH - row * step


def _make_room(folder: Path, kept: set[str]) -> None:
    """Remove what an earlier call wrote, but for the scenes that are kept; refuse the rest."""
    ours = _known(folder)
    stale = []
    for part in _PARTS:
        for path in sorted((folder / part).glob("*")) if (folder / part).is_dir() else []:
            if path.suffix != ".tif" or path.stem not in ours:
                raise OutputError(
                    f"{path} was not written by the simulator. "
                    "Choose an empty folder, so that nothing is lost or mixed."
                )
            if path.stem not in kept:
                stale.append(path)
    for path in stale:
        path.unlink()


def _known(folder: Path) -> set[str]:
    path = folder / _TRUTH
    if not path.exists():
        return set()
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot read {path}: {error}. Choose an empty folder.") from error
    if not isinstance(told, dict) or told.get("synthetic") is not True:
        raise OutputError(f"{path} was not written by the simulator. Choose an empty folder.")
    return set(told.get("pairs", {}))


def _truth_json(scenes: dict[str, SceneSettings]) -> str:
    pairs = {
        name: {"settings": s.as_dict(), "sar_to_optical": truth_matrix(s).tolist()}
        for name, s in scenes.items()
    }
    told = {
        "synthetic": True,
        "crosslook": __version__,
        "convention": "sar_to_optical acts on (row, column, 1); pixel centres at +0.5",
        "pairs": pairs,
    }
    return json.dumps(told, indent=1) + "\n"


def _truth_csv(scenes: dict[str, SceneSettings]) -> str:
    header = "id,synthetic," + ",".join(f"m{i}{j}" for i in range(3) for j in range(3))
    lines = [header]
    for name, settings in scenes.items():
        numbers = (repr(float(v)) for v in np.ravel(truth_matrix(settings)))
        lines.append(f"{name},yes," + ",".join(numbers))
    return "\n".join(lines) + "\n"
