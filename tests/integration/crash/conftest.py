from tests.crash.inputs import dirty, wide

__all__ = ["dirty", "wide"]
