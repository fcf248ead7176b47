"""Jobs: list, events, status, proof, chunks, and control of any job."""

__all__ = ["proof"]
