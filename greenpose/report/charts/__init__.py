"""Charts of the page as SVG text, byte for byte the same for the same data."""
