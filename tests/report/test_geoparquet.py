"""GeoParquet 1.1 as other tools check it: covering, compression, row groups, the 180th meridian."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crosslook.report import export
from crosslook.types import Patch, Window

LINES = 3


def patch_at(left: float, bottom: float, crs: str) -> Patch:
    window = Window(0, 0, 32, 32)
    return Patch("a", "a", "a", window, crs=crs, bounds=(left, bottom, left + 320, bottom + 320))


def table_of(places: list[export.Place | None], patch: Patch) -> pa.Table:
    one = np.arange(4, dtype=np.float32)
    lines = [export._line(patch, place, one, None, "sar") for place in places]
    return pa.Table.from_pylist(lines, export.SCHEMA)


def rings_of(data: bytes) -> list[np.ndarray]:
    """Outer rings of a polygon or multipolygon in WKB."""
    kind, count = struct.unpack("<II", data[1:9])
    if kind == 3:
        (points,) = struct.unpack("<I", data[9:13])
        return [np.frombuffer(data[13 : 13 + 16 * points], "<f8").reshape(-1, 2)]
    assert kind == 6
    rings, at = [], 9
    for _ in range(count):
        ring = rings_of(data[at:])[0]
        rings.append(ring)
        at += 13 + 16 * len(ring)
    assert at == len(data)
    return rings


def area(ring: np.ndarray) -> float:
    x, y = (ring - ring[0]).T
    return float(abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2)


def test_the_file_says_what_readers_look_for(tmp_path: Path) -> None:
    patch = patch_at(500_000, 5_000_000, "EPSG:32633")
    place = export.place_of(patch)
    assert place is not None
    parts = [table_of([place, None], patch) for _ in range(LINES)]
    export._write(tmp_path / "a.parquet", iter(parts), [place.box])
    file = pq.ParquetFile(tmp_path / "a.parquet")
    assert file.metadata.num_row_groups == 1  # small shards are joined
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    geo = json.loads(file.schema_arrow.metadata[b"geo"])
    column = geo["columns"]["geometry"]
    assert geo["version"] == "1.1.0"
    assert column["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]
    assert column["geometry_types"] == ["Polygon"]
    rows = file.read().to_pylist()
    ring = rings_of(rows[0]["geometry"])[0]
    assert rows[0]["bbox"] == {
        "xmin": ring[:, 0].min(), "ymin": ring[:, 1].min(),
        "xmax": ring[:, 0].max(), "ymax": ring[:, 1].max(),
    }  # fmt: skip
    assert column["bbox"] == list(place.box)
    assert rows[1]["bbox"] is None
    assert rows[1]["geometry"] is None


@pytest.mark.parametrize(("crs", "left"), [("EPSG:32601", 166_021.44), ("EPSG:32660", 833_978.56)])
def test_a_patch_over_the_180th_meridian(tmp_path: Path, crs: str, left: float) -> None:
    """Its centre is there and not at Greenwich; its outline is cut in two."""
    patch = patch_at(left - 100, 0, crs)
    place = export.place_of(patch)
    assert place is not None
    assert place.box[0] > 179.99
    assert place.box[2] < -179.99
    table = table_of([place], patch)
    line = table.to_pylist()[0]
    assert abs(line["centre_lon"]) > 179.99
    rings = rings_of(line["geometry"])
    assert len(rings) == 2
    assert {np.sign(ring[:, 0].mean()) for ring in rings} == {-1.0, 1.0}
    for ring in rings:
        assert abs(ring[:, 0]).max() <= 180.0
        assert np.ptp(ring[:, 0]) < 0.01
        np.testing.assert_array_equal(ring[0], ring[-1])
    assert sum(map(area, rings)) == pytest.approx(area(place.degrees), rel=1e-9)
    export._write(tmp_path / "a.parquet", iter([table]), [place.box])
    geo = json.loads(pq.read_schema(tmp_path / "a.parquet").metadata[b"geo"])
    assert geo["columns"]["geometry"]["geometry_types"] == ["Polygon", "MultiPolygon"]


def test_row_groups_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_ROW_GROUP_ROWS", 4)
    patch = patch_at(500_000, 5_000_000, "EPSG:32633")
    parts = iter([table_of([None] * LINES, patch) for _ in range(5)])
    assert [group.num_rows for group in export._row_groups(parts)] == [6, 6, 3]
