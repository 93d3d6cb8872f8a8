"""Parcels within a district: strips of fields, blocks of houses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crosslook.data.simulate.noise import Hash, mix, uniform
from crosslook.types import FloatArray

Laid = tuple[NDArray[np.uint8], Hash, FloatArray]

_FIELD, _GRASS, _ROAD, _BUILDING, _YARD = 1, 2, 4, 5, 6
_BLOCK = (136.0, 204.0)
_STREET_HALF_WIDTH = 8.0
_LOT = 34.0
_TRACK_HALF_WIDTH = 3.0
_ANGLES = 60


def plough(district: Hash, y: FloatArray, x: FloatArray, gsd: float) -> Laid:
    """Lay fields: strips of one depth per district, cut at lengths of their own.

    Parameters
    ----------
    district : uint32 array, shape (n,)
        Random bits of the district of each pixel.
    y, x : float32 arrays, shape (n,)
        Metres from the district's centre.
    gsd : float
        Metres per pixel; nothing is drawn narrower.

    Returns
    -------
    tuple
        Label, parcel bits and object height, each of shape (n,).
    """
    v, u = _turn(district, y, x)
    depth = 130 + 220 * uniform(mix(district, 3))
    strip = np.floor(v / depth)
    key = mix(district, strip.astype(np.int32))
    length = 160 + 420 * uniform(mix(key, 4))
    place = u / length + uniform(mix(key, 5))
    parcel = mix(key, np.floor(place).astype(np.int32))
    label = np.where(uniform(mix(parcel, 6)) < 0.18, _GRASS, _FIELD).astype(np.uint8)
    edge = v - strip * depth
    label[edge < 2 * max(_TRACK_HALF_WIDTH, 0.5 * gsd)] = _ROAD
    return label, parcel, np.zeros(len(v), np.float32)


def settle(district: Hash, y: FloatArray, x: FloatArray, gsd: float) -> Laid:
    """Lay a town: streets around blocks, houses of one height each on lots.

    Parameters and result are those of :func:`plough`. Some districts are
    industrial: their lots are larger and their halls wider.
    """
    v, u = _turn(district, y, x)
    label = np.full(len(v), _YARD, np.uint8)
    industrial = uniform(mix(district, 7)) < 0.3
    lot = np.where(industrial, np.float32(2.2 * _LOT), np.float32(_LOT))
    row, col = np.floor(v / lot), np.floor(u / lot)
    parcel = mix(district, row.astype(np.int32), col.astype(np.int32))
    inside = np.ones(len(v), bool)
    for along, index, side in ((v, row, 8), (u, col, 9)):
        place = along / lot - index
        low = 0.08 + 0.2 * uniform(mix(parcel, side))
        high = 0.75 + 0.2 * uniform(mix(parcel, side + 10))
        inside &= (place > low) & (place < high)
    built = inside & (uniform(mix(parcel, 12)) < 0.7)
    label[built] = _BUILDING
    street = max(_STREET_HALF_WIDTH, 0.5 * gsd)
    for along, block in ((v, _BLOCK[0]), (u, _BLOCK[1])):
        apart = np.abs(along / block - np.round(along / block)) * np.float32(block)
        label[apart < street] = _ROAD
    floors = uniform(mix(parcel, 13))
    height = np.where(label == _BUILDING, 5 + 28 * floors * floors * floors, 0.0)
    return label, parcel, height.astype(np.float32)


def _turn(district: Hash, y: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    # A table keeps the result independent of how many pixels are worked on.
    angles = np.arange(_ANGLES) * (np.pi / _ANGLES)
    turn = mix(district, 14) % np.uint32(_ANGLES)
    cos, sin = np.cos(angles).astype(np.float32)[turn], np.sin(angles).astype(np.float32)[turn]
    return y * cos - x * sin, y * sin + x * cos
