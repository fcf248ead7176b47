"""Reasons why a file cannot be decoded, as a decoding process reports them."""

from __future__ import annotations


class Unreadable(Exception):
    """A file that cannot be decoded, with the reason as a sentence."""

    code = "damaged"


class Damaged(Unreadable):
    """A file of another kind, or a damaged one."""


class Encrypted(Unreadable):
    """A file that needs a password or a key."""

    code = "encrypted"


class TooLarge(Unreadable):
    """A file that needs more memory than the process may use."""

    code = "too_large"
