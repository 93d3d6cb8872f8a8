"""The displacement of a scene as a map: way there and back, its file, and what goes wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from crosslook.errors import MatchError
from crosslook.geo.grid import make_grid, to_map
from crosslook.match.lattice import FIELD_FILE, node_grid, write_lattice
from crosslook.match.transform import (
    Affine,
    LatticeField,
    Transform,
    scaling,
    shift_by,
    similarity,
)
from crosslook.types import Array


def field() -> LatticeField:
    rows, cols = np.meshgrid(np.arange(40), np.arange(50), indexing="ij")
    values = np.stack([3 * np.sin(cols / 7), 5 * np.cos(rows / 9)], axis=-1)
    return LatticeField.on_lattice(values, 8.0, (100.5, 20.0))


def places() -> Array:
    drawn = np.random.default_rng(0).uniform(0, 1, (500, 2))
    return np.asarray([110.0, 30.0] + drawn * [280.0, 360.0])


def test_a_position_goes_there_and_back() -> None:
    chain = Transform(field(), "field") @ similarity((4.0, -3.0), 1.5, 1.01, (200.0, 200.0))
    assert np.abs(chain(chain.inverse(places())) - places()).max() < 1e-6


def test_the_way_back_is_one_look_up() -> None:
    at = np.array([[100.5 + 8 * 5, 20.0 + 8 * 7]])
    moved = at - Transform(field(), "field").inverse(at)
    assert moved[0] == pytest.approx([3 * np.sin(1.0), 5 * np.cos(5 / 9)], abs=1e-3)


@pytest.mark.parametrize("first", [similarity((4.0, -3.0), 1.5, 1.01), shift_by(0.0, 0.0)])
def test_match_json_stays_small_and_finds_the_file_beside_it(
    tmp_path: Path, first: Transform
) -> None:
    chain = scaling(2.0) @ (Transform(field(), "field") @ first)
    lattice = chain.lattice
    assert lattice is not None
    optical = make_grid("EPSG:32633", (10.0, 0.0, 3e5, 0.0, -10.0, 5.5e6), 800, 900)
    nodes = node_grid(optical, lattice.nodes, lattice.values.shape[:2])
    write_lattice(tmp_path / FIELD_FILE, lattice.values, nodes, "match")
    text = json.dumps({"there": chain.to_dict(), "back": chain.inverse.to_dict()})
    assert len(text) < 3000
    again = json.loads(text)
    there, back = (Transform.from_dict(again[key], tmp_path) for key in ("there", "back"))
    assert np.abs(there(places()) - chain(places())).max() < 1e-9
    assert np.abs(back(there(places())) - places()).max() < 1e-6
    # On the map a node lies where the field says that it lies, twice as far for the scaling.
    at = to_map(nodes, np.array([[5.5, 7.5]]))
    assert at[0] == pytest.approx(to_map(optical, 2 * np.array([[140.5, 76.0]]))[0])


def test_another_or_no_file_is_refused(tmp_path: Path) -> None:
    values = Transform(field(), "field").to_dict()
    with pytest.raises(MatchError, match="cannot be read"):
        Transform.from_dict(values, tmp_path)
    grid = make_grid(None, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), 40, 50)
    write_lattice(tmp_path / FIELD_FILE, field().values + 1.0, grid, "match")
    with pytest.raises(MatchError, match="not the displacement"):
        Transform.from_dict(values, tmp_path)


def test_the_name_in_the_json_leads_nowhere_else(tmp_path: Path) -> None:
    grid = make_grid(None, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), 40, 50)
    write_lattice(tmp_path / "secret.tif", field().values, grid, "match")
    values = Transform(field(), "field").to_dict()
    values["field"]["file"] = "secret.tif"
    with pytest.raises(MatchError):
        Transform.from_dict(values, tmp_path)


def test_what_is_stored_is_what_is_used() -> None:
    assert (field().values * 1024 % 1 == 0).all()
    assert Transform((Affine(np.eye(3)), field()), "field").lattice is not None
