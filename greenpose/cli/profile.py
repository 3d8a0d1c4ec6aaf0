"""Temporary."""


def profile() -> None:
    """Temporary."""
