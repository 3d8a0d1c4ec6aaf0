"""From metered windows to a record: sums, costs and emissions as documents have them, of any training, no torch."""
