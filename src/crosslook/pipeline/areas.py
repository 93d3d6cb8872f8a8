"""Ground areas that a plan may be asked for by name."""

from __future__ import annotations

from math import radians, sin

from crosslook.errors import SettingError, did_you_mean

# Total areas in square kilometres, rounded (CIA World Factbook).
AREAS_KM2 = {
    "land": 148_940_000, "land-without-antarctica": 134_740_000,
    "algeria": 2_381_740, "angola": 1_246_700, "argentina": 2_780_400, "australia": 7_741_220,
    "austria": 83_871, "belgium": 30_528, "bolivia": 1_098_581, "brazil": 8_515_770,
    "canada": 9_984_670, "chile": 756_102, "china": 9_596_960, "colombia": 1_138_910,
    "czechia": 78_867, "egypt": 1_001_450, "ethiopia": 1_104_300, "finland": 338_145,
    "france": 551_500, "germany": 357_022, "greece": 131_957, "india": 3_287_263,
    "indonesia": 1_904_569, "iran": 1_648_195, "italy": 301_340, "japan": 377_915,
    "kazakhstan": 2_724_900, "kenya": 580_367, "madagascar": 587_041, "mexico": 1_964_375,
    "mongolia": 1_564_116, "netherlands": 41_543, "new-zealand": 268_838, "nigeria": 923_768,
    "norway": 323_802, "peru": 1_285_216, "philippines": 300_000, "poland": 312_685,
    "portugal": 92_090, "romania": 238_391, "russia": 17_098_242, "saudi-arabia": 2_149_690,
    "south-africa": 1_219_090, "spain": 505_370, "sweden": 450_295, "switzerland": 41_277,
    "tanzania": 947_300, "thailand": 513_120, "turkey": 783_562, "ukraine": 603_550,
    "united-kingdom": 243_610, "united-states": 9_833_517,
}  # fmt: skip

_EARTH_RADIUS_KM = 6371.0072  # of the sphere with the area of the ellipsoid


def area_km2(text: str) -> float:
    """Square kilometres of a name in :data:`AREAS_KM2`, or of a number.

    Raises
    ------
    SettingError
        If it is neither, or not above 0.
    """
    name = text.strip().lower().replace(" ", "-").replace("_", "-")
    if name in AREAS_KM2:
        return float(AREAS_KM2[name])
    try:
        number = float(name)
    except ValueError:
        raise SettingError(
            f"'{text}' is no area that is known; give square kilometres, --bbox, or one of: "
            f"{', '.join(sorted(AREAS_KM2))}." + did_you_mean(name, list(AREAS_KM2))
        ) from None
    if not 0 < number < 6e8:
        raise SettingError(
            f"the area is {text} km2; a number above 0, at most all Earth, is needed."
        )
    return number


def box_km2(bbox: tuple[float, float, float, float]) -> float:
    """Square kilometres of a box (west, south, east, north) in degrees, on the sphere.

    Raises
    ------
    SettingError
        If the box has no area or is not on Earth.
    """
    west, south, east, north = bbox
    if not (west < east <= west + 360 and -90 <= south < north <= 90):
        raise SettingError(
            f"the box {west:g} {south:g} {east:g} {north:g} has no area on Earth. "
            "Give --bbox WEST SOUTH EAST NORTH in degrees."
        )
    bands = sin(radians(north)) - sin(radians(south))
    return _EARTH_RADIUS_KM**2 * radians(east - west) * bands
