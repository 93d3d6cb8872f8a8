"""Valid inputs of every kind, and a command that reads each."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import rasterio
from click.testing import CliRunner
from pyarrow import parquet
from rasterio.shutil import copy

from crosslook.cli import app
from crosslook.data.simulate.write import write_pairs
from tests.damaged import damages as d
from tests.damaged.damages import Damage

SIDE = 192
QUICK = ("--patch", "96", "--no-structure", "--draws", "100", "--extractors", "raw")


@dataclass(frozen=True)
class Base:
    """A valid file, what may happen to it, and who reads it.

    Attributes
    ----------
    name : str
    file : str
        Path below the folder; what is damaged.
    command : tuple of str
        ``{file}`` stands for the damaged file, ``{folder}`` for the folder that
        holds it, ``{out}`` for where results may go, ``{made}`` for valid files.
    damages : tuple of Damage
        What the format cannot know about; any answer is right that is no crash.
    tells : tuple of Damage
        What the format can tell, so that an error is the only right answer.
    tree : str
        Folder below ``made`` that the file lies in, copied whole.
    """

    name: str
    file: str
    command: tuple[str, ...]
    damages: tuple[Damage, ...] = ()
    tells: tuple[Damage, ...] = ()
    tree: str = ""


REGISTER = ("register", "{file}", "{made}/optical.tif", "--out", "{out}", "--near-only")
AGAINST = ("register", "{made}/sar.tif", "{file}", "--out", "{out}", "--near-only")
LOCATE = ("locate", "{file}", "--atlas", "{made}/atlas", "--out", "{out}")
BUILD = ("atlas", "build", "{file}", "--out", "{out}")
AUDIT = ("audit", "{file}", "--out", "{out}")
STUDY = ("study", "{file}", "--out", "{out}", *QUICK)

BASES: tuple[Base, ...] = (
    Base("tiff", "sar.tif", REGISTER, (*d.PARTS, d.claim_of_tiff, d.claim_of_tiff), d.WHOLE),
    Base("deflated tiff", "deflated.tif", AGAINST, (*d.PARTS, d.claim_of_tiff), d.WHOLE),
    Base("tiff of doubles", "doubles.tif", LOCATE, (*d.PARTS, d.claim_of_tiff), d.WHOLE),
    Base("cog", "cog.tif", BUILD, d.PARTS, d.WHOLE),
    Base("png", "optical.png", ("register", "{made}/sar.png", "{file}", "--out", "{out}"),
         (), (*d.WHOLE, *d.PARTS, d.claim_of_png, d.claim_of_png)),
    Base("jpeg", "optical.jpg", ("register", "{made}/sar.png", "{file}", "--out", "{out}"),
         d.PARTS, d.WHOLE),
    Base("jpeg 2000", "optical.jp2", AGAINST, d.PARTS, d.WHOLE),
    Base("netcdf", "sar.nc", REGISTER, d.PARTS, d.WHOLE),
    Base("nitf", "sar.ntf", REGISTER, d.PARTS, d.WHOLE),
    Base("envi header", "envi/sar.hdr", ("register", "{folder}/sar.img", *REGISTER[2:]),
         (d.cut, d.flip, d.latin1), (d.letters, d.empty, d.page), "envi"),
    Base("virtual raster", "sar.vrt", REGISTER, (*d.PARTS, d.twice), d.WHOLE),
    Base("archive", "sar.zip", ("register", "/vsizip/{file}/in/sar.tif", *REGISTER[2:]),
         (d.flip, d.flip_in_header, d.flip_in_tail, d.twice), (*d.WHOLE, d.hole)),
    Base("item of stac", "item.json", AGAINST, d.JSON, (d.page, d.letters, d.noise)),
    Base("mask", "mask.tif", (*REGISTER[:1], "{made}/sar.tif", *REGISTER[2:], "--mask", "{file}"),
         (*d.PARTS, d.claim_of_tiff), d.WHOLE),
    Base("points", "p.points", (*REGISTER[:1], "{made}/sar.tif", *REGISTER[2:], "--points",
         "{file}"), d.CSV, (d.page, d.letters, d.zeros, d.pickled)),
    Base("table", "pairs/table.csv", AUDIT, d.CSV, (d.page, d.letters, d.pickled), "pairs"),
    Base("parquet", "pairs/table.parquet", AUDIT, d.PARTS, (*d.WHOLE, d.pickled), "pairs"),
    Base("groups", "pairs/groups.csv", ("audit", "{folder}", *AUDIT[2:]), d.CSV,
         (d.pickled,), "pairs"),
    Base("scenes", "pairs/scenes.csv", ("audit", "{folder}", *AUDIT[2:]), d.CSV,
         (d.noise,), "pairs"),
    Base("alignment", "alignment.csv", ("study", "{made}/pairs", *STUDY[2:], "--alignment",
         "{file}"), d.CSV, (d.page, d.letters, d.pickled)),
    Base("image of a set", "pairs/sar/sim-0001.tif", ("audit", "{tree}", "--out", "{out}"),
         (*d.PARTS, d.claim_of_tiff), d.WHOLE, "pairs"),
    Base("run file", "run.yaml", ("study", "--config", "{file}", "--out", "{out}"), d.YAML,
         (d.page, d.pickled)),
    Base("match", "match/match.json", ("apply", "{file}", "{made}/sar.tif", "--out", "{out}"),
         d.JSON, (d.page, d.letters, d.noise, d.zeros), "match"),
    Base("manifest", "atlas/atlas.json", ("locate", "{made}/sar.tif", "--atlas", "{tree}", "--out",
         "{out}"), d.JSON, (d.page, d.letters, d.noise, d.zeros), "atlas"),
    Base("block", "atlas/*/image.npy", ("locate", "{made}/sar.tif", "--atlas", "{tree}", "--out",
         "{out}"), (), (*d.WHOLE, *d.PARTS, d.pickled), "atlas"),
    Base("rows", "run/results.parquet", ("report", "{tree}"), d.PARTS, (*d.WHOLE, d.pickled),
         "run"),
    Base("patches", "run/patches.parquet", ("export", "{tree}", "--to", "{out}"), d.PARTS,
         (*d.WHOLE, d.pickled), "run"),
    Base("record", "run/run.json", ("leaderboard", "{tree}", "--out", "{out}"), d.JSON,
         (d.page, d.letters, d.noise, d.zeros), "run"),
    Base("matches of a run", "run/matches.parquet", ("compare", "{tree}", "{made}/run", "--out",
         "{out}.csv"), d.PARTS, (*d.WHOLE, d.pickled), "run"),
    Base("features", "run/features/*.npz", ("export", "{tree}", "--to", "{out}"), d.PARTS,
         (*d.WHOLE, d.pickled), "run"),
)  # fmt: skip


def call(*words: object) -> None:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code in (0, 3), (words, done.output, done.exception)


def make_valid(made: Path) -> None:
    """Write every file that is damaged later, as it should be."""
    write_pairs(made / "pairs", 4, size=SIDE, relief=0.0, gsd=10.0, shift=(3.0, -2.0))
    sar, optical = (made / "pairs" / side / "sim-0000.tif" for side in ("sar", "optical"))
    shutil.copy(sar, made / "sar.tif")
    shutil.copy(optical, made / "optical.tif")
    _rasters(made)
    _tables(made)
    call("register", sar, optical, "--out", made / "match", "--near-only")
    call("atlas", "build", optical, "--out", made / "atlas")
    call("study", made / "pairs", "--out", made / "run", *QUICK)


def _rasters(made: Path) -> None:
    with rasterio.open(made / "sar.tif") as file:
        radar, profile = file.read(), file.profile
    with rasterio.open(made / "optical.tif") as file:
        ground, colours = file.read(), file.profile
    plain = {key: profile[key] for key in ("width", "height", "crs", "transform")}
    _write(made / "sar.tif", radar.astype(np.float32), **plain, driver="GTiff")
    doubles = radar.astype(np.float64)
    _write(made / "doubles.tif", doubles, **plain, driver="GTiff", compress="lzw", predictor=3)
    place = {key: colours[key] for key in ("width", "height", "crs", "transform")}
    tiled = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    _write(made / "deflated.tif", ground, **place, driver="GTiff", **tiled)
    _write(made / "mask.tif", np.ones_like(ground[:1], np.uint8), **place, driver="GTiff")
    eight = np.clip(ground.astype(float) / ground.max() * 255, 1, 255).astype(np.uint8)[:3]
    _write(made / "eight.tif", eight, **place, driver="GTiff")
    amplitude = np.sqrt(np.abs(radar[:1].astype(float)))
    grey = np.clip(amplitude / np.quantile(amplitude, 0.99) * 250, 1, 255).astype(np.uint8)
    _write(made / "grey.tif", grey, **plain, driver="GTiff")
    for source, name, driver in (
        ("eight.tif", "cog.tif", "COG"), ("eight.tif", "optical.png", "PNG"),
        ("grey.tif", "sar.png", "PNG"), ("eight.tif", "optical.jpg", "JPEG"),
        ("eight.tif", "optical.jp2", "JP2OpenJPEG"), ("grey.tif", "sar.nc", "netCDF"),
        ("grey.tif", "sar.ntf", "NITF"), ("sar.tif", "sar.vrt", "VRT"),
    ):  # fmt: skip
        copy(made / source, made / name, driver=driver)
    for sidecar in made.glob("*.aux.xml"):
        sidecar.unlink()
    (made / "envi").mkdir()
    copy(made / "grey.tif", made / "envi" / "sar.img", driver="ENVI")
    with zipfile.ZipFile(made / "sar.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(made / "sar.tif", "in/sar.tif")


def _write(path: Path, pixels: np.ndarray, **profile: object) -> None:
    with rasterio.open(path, "w", **profile, count=len(pixels), dtype=pixels.dtype.name) as file:
        file.write(pixels)


def _tables(made: Path) -> None:
    ids = [f"sim-000{n}" for n in range(4)]
    rows = [(f"sar/{n}.tif", f"optical/{n}.tif", n, f"g{n}") for n in ids]
    _csv(made / "pairs" / "table.csv", ("sar", "optical", "id", "group"), rows)
    columns = dict(zip(("sar", "optical", "id", "group"), zip(*rows, strict=True), strict=True))
    parquet.write_table(pa.table({k: list(v) for k, v in columns.items()}),
                        made / "pairs" / "table.parquet")  # fmt: skip
    _csv(made / "pairs" / "groups.csv", ("scene", "group"), [(n, f"g{n}") for n in ids])
    dates = [(n, "2020-11-04", "2020-11-09") for n in ids]
    _csv(made / "pairs" / "scenes.csv", ("scene", "sar_date", "optical_date"), dates)
    _csv(made / "alignment.csv", ("scene", "row", "col"), [(n, "1.5", "-2") for n in ids])
    points = [(500_100, 5e6 - 100, 10, -10, 1), (500_900, 5e6 - 900, 90, -90, 1)]
    _csv(made / "p.points", ("mapX", "mapY", "sourceX", "sourceY", "enable"), points)
    options = {
        "pairs": str(made / "pairs"),
        "extractors": "raw",
        "patch": 96,
        "seed": 3,
        "draws": 100,
        "structure": False,
        "max-invalid": 0.1,
        "split": "transductive",
    }
    text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in options.items())
    (made / "run.yaml").write_text(text)
    asset = {"href": "optical.tif", "type": "image/tiff; application=geotiff", "roles": ["data"],
             "eo:bands": [{"name": "B04", "common_name": "red"}]}  # fmt: skip
    item = {"type": "Feature", "stac_version": "1.0.0", "id": "a", "bbox": [1, 2, 3, 4],
            "geometry": None, "links": [], "properties": {"datetime": "2020-01-01T00:00:00Z"},
            "assets": {"visual": asset}}  # fmt: skip
    (made / "item.json").write_text(json.dumps(item))


def _csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    out = io.StringIO()
    for line in (header, *rows):
        out.write(",".join(map(str, line)) + "\n")
    path.write_text(out.getvalue())
