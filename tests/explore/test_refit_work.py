"""What a fit by hand takes over from a match that the command line wrote."""

from __future__ import annotations

from pathlib import Path

from crosslook.explore.matches import WrittenMatch, refit_work


def test_a_mask_that_was_given_relatively_is_found_beside_the_match(tmp_path: Path) -> None:
    (tmp_path / "mask.tif").touch()
    match = {
        "settings": {"mask": "mask.tif", "optical_mask": "gone.tif", "seed": 3},
        "images": {side: {"name": f"{side}.tif"} for side in ("sar", "optical")},
    }
    work = {"folder": str(tmp_path / "out"), "sar": "/sar.tif", "optical": "/optical.tif"}
    settings = refit_work(WrittenMatch(match, work, None, ()))["settings"]
    assert settings["mask"] == str((tmp_path / "mask.tif").resolve())
    assert settings["optical_mask"] == "gone.tif"  # the error names it as it was given
    assert settings["seed"] == 3
