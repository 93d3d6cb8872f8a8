from __future__ import annotations

import pytest

from crosslook.errors import SpecError
from crosslook.extract.spec import Option, parse_spec, read_options, split_specs


def test_parts_of_a_spec() -> None:
    spec = parse_spec("untrained:dinov2:vits14,layer=9")
    assert (spec.name, spec.variant, spec.options, spec.untrained) == (
        "dinov2",
        "vits14",
        {"layer": "9"},
        True,
    )
    assert parse_spec("sd-unet:t=261,block=1").options == {"t": "261", "block": "1"}
    assert parse_spec("hf:google/siglip2-base").variant == "google/siglip2-base"


def test_a_list_keeps_options_with_their_spec() -> None:
    assert split_specs("raw, sd-unet:t=261,block=1,hog") == ["raw", "sd-unet:t=261,block=1", "hog"]
    assert split_specs("hog:cell=8,dinov2:vits14,layer=3") == [
        "hog:cell=8",
        "dinov2:vits14,layer=3",
    ]


@pytest.mark.parametrize("text", ["", ":", "hog:cell=", "hog:cell=8,cell=9", "=3", "hog:a=1,b"])
def test_malformed_specs_are_refused(text: str) -> None:
    with pytest.raises(SpecError):
        parse_spec(text)


def test_options_are_typed_bounded_and_suggested() -> None:
    allowed = {"cell": Option(16, "side", low=2, high=64), "soft": Option(True, "share")}
    assert read_options("hog", allowed, {"cell": "8"}) == {"cell": 8, "soft": True}
    assert read_options("hog", allowed, {"soft": "no"})["soft"] is False
    for bad in ({"cell": "1"}, {"cell": "nan"}, {"cell": "8.5"}, {"soft": "perhaps"}):
        with pytest.raises(SpecError):
            read_options("hog", allowed, bad)
    with pytest.raises(SpecError, match="Did you mean 'cell'"):
        read_options("hog", allowed, {"cel": "8"})


def test_nan_is_outside_every_range() -> None:
    with pytest.raises(SpecError, match=r"0\.\.20"):
        read_options("hog", {"blur": Option(1.5, "blur", low=0.0, high=20.0)}, {"blur": "nan"})
