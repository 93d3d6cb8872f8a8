"""What the names of files say of them."""

from __future__ import annotations

import re
from pathlib import PurePath

_NO_IMAGERY = re.compile(
    r"(?:^|[_.-])(?:masks?|udm2?|browse|preview|ql|quick-?look|thumb(?:nail)?|thm"
    r"|inc(?:idence)?(?:_?(?:map|angle))?|ls_map|linci|lia|localincidenceangle|angles?|nesz|phase"
    r"|scl|cld|aot|wvp|qa_\w+|dem|date)(?=[_.-]|$)",
    re.IGNORECASE,
)


def is_no_imagery(name: str) -> bool:
    """Whether a file's name says that it is a mask, a browse image or a map of angles.

    >>> is_no_imagery("OPERA_L2_RTC-S1_mask.tif"), is_no_imagery("scene_VV.tif")
    (True, False)
    """
    return bool(_NO_IMAGERY.search(PurePath(name).stem))
