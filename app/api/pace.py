"""How long a slow client is waited for."""

from __future__ import annotations


class Pace:
    """Seconds of patience: waiting spends them, bytes earn them back at the slowest speed allowed,
    never above the first sum. So a client may be silent for the whole sum once, but not slower than
    that speed for long.
    """

    def __init__(self, seconds: float, bytes_per_second: int) -> None:
        self._most = seconds
        self._bytes_per_second = bytes_per_second
        self.left = seconds

    def count(self, waited: float, size: int) -> None:
        """So many bytes came or went after so many seconds of waiting."""
        self.left = min(self._most, self.left - waited + self._earned(size))

    def _earned(self, size: int) -> float:
        if not size:
            return 0.0
        return size / self._bytes_per_second if self._bytes_per_second else self._most

    def broken(self) -> str:
        """What a client whose patience is used up has done."""
        if not self._bytes_per_second:
            return f"Nothing came for {self._most:g} seconds."
        return (
            f"Fewer than {self._bytes_per_second} bytes a second came, with {self._most:g} seconds"
            " of patience."
        )
