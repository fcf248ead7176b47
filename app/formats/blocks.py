"""Passes of numpy over many bytes, some at a time: what such a pass makes between its input and its
result stays in the cache of the processor. Of megabytes at once it takes three times as long, most
of it for memory that the system has to hand over anew each time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from app.formats.base import Offsets

Codes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
"""A truth for each byte, or for each of whatever it is said to be of."""

BLOCK_BYTES = 124 << 10
"""Just below what the allocator asks the system for."""

NO_OFFSETS: Offsets = np.empty(0, np.int64)


def blocks(size: int) -> Iterator[tuple[int, int]]:
    """(start, end) of blocks of so many bytes together."""
    for start in range(0, size, BLOCK_BYTES):
        yield start, min(start + BLOCK_BYTES, size)


def places_of(code: int, codes: Codes) -> Offsets:
    """Where this byte stands."""
    places = [np.flatnonzero(codes[start:end] == code) + start for start, end in blocks(len(codes))]
    return joined(places)


def joined(places: list[Offsets]) -> Offsets:
    if len(places) == 1:
        return places[0]
    return np.concatenate([NO_OFFSETS, *places])


def preceding(mask: Mask, first: bool) -> Mask:
    """What is true of the byte before each; `first`, of what is before the first one."""
    shifted = np.empty_like(mask)
    shifted[1:] = mask[:-1]
    shifted[:1] = first
    return shifted


def following(mask: Mask, last: bool) -> Mask:
    """What is true of the byte behind each; `last`, of what is behind the last one."""
    shifted = np.empty_like(mask)
    shifted[:-1] = mask[1:]
    shifted[-1:] = last
    return shifted


def odd_up_to(marks: Mask, is_odd_before: bool) -> Mask:
    """Whether the marks up to each place, itself included, are odd in number; `is_odd_before`: of
    those before the first place.

    Of 64 places at a time: six shifts add up the bits of a word, modulo two.
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
