"""Emissions: the intensity of a grid, by the hour where that is known, and what making the machine took."""
