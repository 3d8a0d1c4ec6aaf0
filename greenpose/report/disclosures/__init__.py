"""Disclosures: what model cards, papers, laws and other tools ask for about a footprint."""
