"""Normalised cross-correlation of multi-channel maps by FFT, masked or not.

One score throughout: the cosine of the angle between a template and what lies
under it, over all channels and over the cells that both hold. Products at all
offsets come from Fourier transforms, and are divided by the root of both
energies (Lewis, "Fast normalized cross-correlation", 1995; with masks Padfield,
"Masked object registration in the Fourier domain", 2012). Features are
standardised before they come here, so no mean is taken off.

The transforms of numpy arrays are scipy's, those of torch tensors are torch's,
on the device where they lie (:func:`place`). Scores are numpy arrays.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslook import threads
from crosslook.errors import MissingExtraError
from crosslook.options import Device
from crosslook.types import Array, FloatArray

FAINT, _FAINT_MASKED = 1e-6, 1e-3  # of the largest energy; of masked ones FFT leaves more noise


def correlation_device(device: Device = "auto") -> str:
    """Where correlations run: ``cpu``, or a GPU as torch names it; ``auto`` takes one if there.

    On ``mps`` models run, while correlations stay on the CPU: its FFTs lack
    what they need.

    Raises
    ------
    SettingError
        If the device is not there.
    MissingExtraError
        If a GPU is requested and torch is not installed.
    """
    # Torch takes seconds to import, so it is asked only where a driver is.
    if device == "cpu" or (device == "auto" and shutil.which("nvidia-smi") is None):
        return "cpu"
    try:
        from crosslook.extract.runtime import resolve_runtime

        name = resolve_runtime(device, "float32", None).device
    except ImportError:
        if device == "auto":
            return "cpu"
        raise MissingExtraError(
            f"device '{device}' needs torch: pip install 'crosslook[models]', or use --device cpu."
        ) from None
    return name if name.startswith("cuda") else "cpu"


def place(values: FloatArray, device: str) -> Any:
    """The array itself for ``cpu``, else a tensor of torch on that device."""
    if device == "cpu":
        return values
    import torch

    return torch.from_numpy(np.ascontiguousarray(values)).to(device)


def fetch(values: Any) -> FloatArray:
    """A numpy array of what was computed anywhere."""
    host: FloatArray = values if isinstance(values, np.ndarray) else values.cpu().numpy()
    return host


def _libraries(values: Any) -> tuple[Any, Any]:
    """NumPy and its Fourier transforms or, of values that lie on a device, torch and its."""
    from scipy import fft

    if isinstance(values, np.ndarray):
        return np, fft
    import torch

    return torch, torch.fft


def forward(values: Any, size: tuple[int, int]) -> Any:
    """Spectra of maps (..., h, w), padded by zeros to ``size``."""
    return _libraries(values)[1].rfft2(values, size)


def inverse(spectra: Any, size: tuple[int, int], rows: slice | None = None) -> Any:
    """Maps of spectra (..., h, w // 2 + 1); of ``rows`` alone, which saves the others' part."""
    transforms = _libraries(spectra)[1]
    if rows is None:
        return transforms.irfft2(spectra, size)
    return transforms.irfft(transforms.ifft(spectra, None, -2)[..., rows, :], size[1])


def summed_product(one: Any, other: Any) -> Any:
    """Products of two sets of spectra (..., C, h, w), summed over the channels."""
    if not isinstance(one, np.ndarray):
        return (one * other).sum(dim=-3)
    # A channel at a time, since the sum then stays in the cache: einsum takes twice as long.
    total = np.multiply(one[..., 0, :, :], other[..., 0, :, :])
    product = np.empty_like(total)
    for channel in range(1, one.shape[-3]):
        total += np.multiply(one[..., channel, :, :], other[..., channel, :, :], out=product)
    return total


def masked_planes(values: FloatArray, mask: NDArray[Any]) -> FloatArray:
    """Channels (..., C, h, w), zero where masked; then their energy, and the mask (..., h, w)."""
    energy = np.einsum("...chw,...chw->...hw", values, values)
    planes = [values, energy[..., None, :, :], mask[..., None, :, :].astype(np.float32)]
    return np.concatenate(planes, axis=-3)


def masked_products(fixed: Any, template: Any) -> Any:
    """What a masked correlation is made of, as spectra (..., 4, h, w).

    Parameters
    ----------
    fixed, template
        Spectra of :func:`masked_planes`; those of the template conjugated, or
        of its planes turned by half a turn.

    Returns
    -------
    spectra
        Of the products; the energy of the fixed map where the template is
        valid; that of the template where the fixed map is; the valid cells of
        both.
    """
    joint = (
        summed_product(fixed[..., :-2, :, :], template[..., :-2, :, :]),
        fixed[..., -2, :, :] * template[..., -1, :, :],
        fixed[..., -1, :, :] * template[..., -2, :, :],
        fixed[..., -1, :, :] * template[..., -1, :, :],
    )
    return _libraries(fixed)[0].stack(joint, -3)


def cosines(
    products: Array | FloatArray,
    energy: Array | FloatArray,
    other: Array | FloatArray,
    faint: float = _FAINT_MASKED,
) -> Array:
    """Products over the root of both energies; 0 where that is below ``faint`` of the largest."""
    root = np.sqrt(np.maximum(energy, 0.0) * np.maximum(other, 0.0))
    floor = faint * max(float(root.max(initial=0.0)), 1e-30)
    return np.asarray(np.where(root > floor, products / np.maximum(root, floor), 0.0))


def correlate(
    templates: FloatArray,
    searches: FloatArray,
    masks: tuple[NDArray[Any], NDArray[Any]] | None = None,
    device: str = "cpu",
) -> FloatArray:
    """Correlate every template with its own search area, at all offsets.

    Where masks are given the energy of each is that of the cells which the
    other one knows, and scores are multiplied by the root of the fraction of
    cells that both know: chance gives higher ones where fewer are compared. So
    gaps that lie alike in both attract nothing.

    Parameters
    ----------
    templates : float32 array, shape (n, C, th, tw)
        Zero where invalid.
    searches : float32 array, shape (n, C, sh, sw)
        At least as large as the templates.
    masks : (array of shape (n, th, tw), array of shape (n, sh, sw)), optional
        1, and 0 in gaps of the templates and of the search areas.
    device : str
        As :func:`correlation_device` names it.

    Returns
    -------
    float32 array, shape (n, sh - th + 1, sw - tw + 1)
        -1..1; 0 where a template or the area under it holds nothing.
    """
    from scipy import fft

    height, width = templates.shape[2:]
    rows, cols = searches.shape[2] - height + 1, searches.shape[3] - width + 1
    down, along = (fft.next_fast_len(length, real=True) for length in searches.shape[2:])
    size = (int(down), int(along))
    if masks is not None:
        templates, searches = masked_planes(templates, masks[0]), masked_planes(searches, masks[1])
    with fft.set_workers(threads.count()):
        fixed = forward(place(searches, device), size)
        template = forward(place(templates, device), size).conj()
        if masks is None:
            raw = fetch(inverse(summed_product(fixed, template), size)[:, :rows, :cols])
            under = box_sums(_energies(searches), height, width)
            own = _energies(templates).sum(axis=(1, 2))[:, None, None]
            return _as_scores(cosines(raw, under, own, FAINT))
        products = inverse(masked_products(fixed, template), size)[..., :rows, :cols]
    raw, under, own, common = np.asarray(fetch(products), np.float64).swapaxes(0, 1)
    filled = np.sqrt(np.clip(common / (height * width), 0.0, 1.0))
    return _as_scores(cosines(raw, under, own) * filled)


def correlate_shifts(
    image: FloatArray,
    search: FloatArray,
    corners: NDArray[np.int64],
    side: int,
    masks: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> FloatArray:
    """Correlate many templates of one image, one small shift of the whole image after another.

    The same scores as :func:`correlate` of each template with what lies around
    it. Templates that overlap share their products, so that for few shifts
    this takes a fraction of the time.

    Parameters
    ----------
    image : float32 array, shape (C, h, w)
        Zero where invalid.
    search : float32 array, shape (C, h + 2 reach, w + 2 reach)
        The other image, ``reach`` cells wider on every side.
    corners : int64 array, shape (n, 2)
        Upper left cells of the templates.
    side : int
        Cells of a template along a side.
    masks : (array of shape (h, w), array of shape (h + 2 reach, w + 2 reach)), optional
        1, and 0 in gaps of either image; as for :func:`correlate`.

    Returns
    -------
    float32 array, shape (n, 2 reach + 1, 2 reach + 1)
    """
    from crosslook.match.kernels_ncc import boxed_products, divide_by_energy

    raw = boxed_products(image, search, corners, side)
    energy, other = _energies(image[None]), _energies(search[None])
    if masks is None:
        own = box_sums(energy, side, side)[0][corners[:, 0], corners[:, 1]].astype(np.float32)
        under = box_sums(other, side, side)[0].astype(np.float32)
        divide_by_energy(raw, under, own, corners, FAINT)
        return raw
    known, there = (mask[None].astype(np.float32) for mask in masks)
    energies = energy.astype(np.float32), other.astype(np.float32)
    own, under, common = (
        boxed_products(one, two, corners, side)
        for one, two in ((energies[0], there), (known, energies[1]), (known, there))
    )
    filled = np.sqrt(np.clip(common / side**2, 0.0, 1.0))
    return _as_scores(cosines(raw, under, own) * filled)


def _as_scores(values: Array) -> FloatArray:
    return np.clip(values, -1.0, 1.0).astype(np.float32)


def _energies(maps: FloatArray) -> Array:
    """Sum of squares over the channels of maps (n, C, H, W)."""
    return np.asarray(np.einsum("nchw,nchw->nhw", maps, maps), np.float64)


def box_sums(values: Array, height: int, width: int) -> Array:
    """Sums over every ``height`` x ``width`` box of maps (n, H, W)."""
    total = np.pad(values.cumsum(axis=1).cumsum(axis=2), ((0, 0), (1, 0), (1, 0)))
    result: Array = (
        total[:, height:, width:]
        - total[:, :-height, width:]
        - total[:, height:, :-width]
        + total[:, :-height, :-width]
    )
    return result


@dataclass(frozen=True, eq=False)
class Peaks:
    """Best position of each of ``n`` score maps.

    Attributes
    ----------
    position : float64 array, shape (n, 2)
        Row and column of the peak in cells of the map, sub-cell.
    score : float64 array, shape (n,)
        Height of the peak.
    ratio : float64 array, shape (n,)
        Peak over the best score outside its neighbourhood, at least 1 and at
        most 10.
    border : bool array, shape (n,)
        True where the peak lies on the rim of the map, so that the true one
        may lie outside.
    """

    position: Array
    score: Array
    ratio: Array
    border: NDArray[np.bool_]


def find_peaks(scores: FloatArray, exclusion: float) -> Peaks:
    """Find the peak of each map to a fraction of a cell, and how it stands out.

    A parabola through the peak and its neighbours along either axis gives the
    fraction; ``exclusion`` is the radius in cells around the peak in which no
    second peak is looked for.
    """
    from crosslook.match.kernels_ncc import highest

    count, rows, cols = scores.shape
    place, outside = highest(scores, exclusion)
    row, col = place.T
    top = scores[np.arange(count), row, col].astype(np.float64)
    border = (row == 0) | (col == 0) | (row == rows - 1) | (col == cols - 1)
    inner_row, inner_col = row.clip(1, max(1, rows - 2)), col.clip(1, max(1, cols - 2))
    position = np.column_stack([row, col]).astype(np.float64)
    if rows >= 3 and cols >= 3:
        each = np.arange(count)
        down = [scores[each, inner_row + d, col] for d in (-1, 0, 1)]
        along = [scores[each, row, inner_col + d] for d in (-1, 0, 1)]
        fraction = np.column_stack([parabola_top(*down), parabola_top(*along)])
        position += np.where(border[:, None], 0.0, fraction)
    ratio = np.clip(top / np.maximum(outside, 1e-3), 1.0, 10.0)
    return Peaks(position, top, ratio, border)


def parabola_top(
    before: FloatArray | Array, at: FloatArray | Array, after: FloatArray | Array
) -> Array:
    """Offset of the top of the parabola through three equidistant values, -0.5..0.5.

    Parameters
    ----------
    before, at, after : arrays of one shape
        Values at -1, 0 and 1; 0 is the result where they have no top.
    """
    bend = (before + after - 2.0 * at).astype(np.float64)
    slope = (before - after).astype(np.float64)
    offset = np.where(bend < -1e-9, 0.5 * slope / np.minimum(bend, -1e-9), 0.0)
    return np.asarray(offset.clip(-0.5, 0.5), np.float64)
