"""Preference data with a known truth, and loaders of published reward data."""

from skreward._generators import make_preferences

__all__ = ["make_preferences"]
