"""What is computed of an image more than once, kept as long as the image is."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from crosslook.geo.grey import GreyImage

_P = ParamSpec("_P")
_R = TypeVar("_R")
_KEPT: WeakKeyDictionary[GreyImage, dict[Hashable, Any]] = WeakKeyDictionary()


def kept(
    function: Callable[Concatenate[GreyImage, _P], _R],
) -> Callable[Concatenate[GreyImage, _P], _R]:
    """Compute once for each image and further arguments, which must be hashable.

    The searches of one registration ask the same of its two images again and
    again. Nobody may write into what is returned.
    """

    @wraps(function)
    def once(image: GreyImage, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        own = _KEPT.setdefault(image, {})
        key = (function, args, tuple(sorted(kwargs.items())))
        if key not in own:
            result = function(image, *args, **kwargs)
            if result is image:  # to keep an image for itself would keep it for ever
                return result
            own[key] = result
        value: _R = own[key]
        return value

    return once
