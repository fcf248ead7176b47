"""A limit on how long a slow client is waited for."""

from __future__ import annotations


class Pace:
    """An allowance of seconds. Waiting spends it; bytes earn it back at the slowest allowed speed,
    up to the initial allowance. A client may therefore pause once for the whole allowance, but may
    not stay below that speed for long.
    """

    def __init__(self, seconds: float, bytes_per_second: int) -> None:
        self._most = seconds
        self._bytes_per_second = bytes_per_second
        self.left = seconds

    def count(self, waited: float, size: int) -> None:
        """Record that `size` bytes moved after `waited` seconds."""
        self.left = min(self._most, self.left - waited + self._earned(size))

    def _earned(self, size: int) -> float:
        if not size:
            return 0.0
        return size / self._bytes_per_second if self._bytes_per_second else self._most

    def broken(self) -> str:
        """Describe how a client used up its allowance."""
        if not self._bytes_per_second:
            return f"No bytes arrived for {self._most:g} seconds."
        return (
            f"Fewer than {self._bytes_per_second} bytes arrived per second, after {self._most:g} seconds"
            " of grace."
        )
