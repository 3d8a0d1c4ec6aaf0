"""Stand-ins that do as they are told: clocks, counters, kernels, sides of a check, a forge, runs of a grid."""
