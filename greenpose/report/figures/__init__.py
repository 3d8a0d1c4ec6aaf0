"""The figures of a report, one file each: its numbers, its table, its drawing."""
