"""Passes of numpy over many bytes, block by block: what such a pass makes between its input and its
result stays in the cache of the processor. For megabytes at once it takes three times as long, most
of it for memory that the system has to provide anew each time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from app.formats.base import Offsets

Codes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
"""A boolean for each byte, or for each of the things that it is said to be about."""

BLOCK_BYTES = 124 << 10
"""Size of a block: just below what the allocator requests from the system."""

NO_OFFSETS: Offsets = np.empty(0, np.int64)


def blocks(size: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of the blocks of so many bytes."""
    for start in range(0, size, BLOCK_BYTES):
        yield start, min(start + BLOCK_BYTES, size)


def places_of(code: int, codes: Codes) -> Offsets:
    """Return the places of this byte."""
    places = [np.flatnonzero(codes[start:end] == code) + start for start, end in blocks(len(codes))]
    return joined(places)


def joined(places: list[Offsets]) -> Offsets:
    if len(places) == 1:
        return places[0]
    return np.concatenate([NO_OFFSETS, *places])


def preceding(mask: Mask, first: bool) -> Mask:
    """Return the mask of the byte before each; `first` is that before the first one."""
    shifted = np.empty_like(mask)
    shifted[1:] = mask[:-1]
    shifted[:1] = first
    return shifted


def following(mask: Mask, last: bool) -> Mask:
    """Return the mask of the byte behind each; `last` is that behind the last one."""
    shifted = np.empty_like(mask)
    shifted[:-1] = mask[1:]
    shifted[-1:] = last
    return shifted


def odd_up_to(marks: Mask, is_odd_before: bool) -> Mask:
    """Return whether the number of marks up to each place, itself included, is odd;
    `is_odd_before`: whether that before the first place is.

    It takes 64 places at a time: six shifts add up the bits of a word, modulo two.
    """
    packed = np.packbits(marks, bitorder="little")
    words = np.zeros(-(-len(packed) // 8), "<u8")
    words.view(np.uint8)[: len(packed)] = packed
    for shift in (1, 2, 4, 8, 16, 32):
        words ^= words << np.uint64(shift)
    is_odd = words >> np.uint64(63)
    before = np.bitwise_xor.accumulate(is_odd) ^ is_odd ^ np.uint64(is_odd_before)
    words ^= np.uint64(0) - before
    bits = np.unpackbits(words.view(np.uint8), count=len(marks), bitorder="little")
    return bits.view(np.bool_)
