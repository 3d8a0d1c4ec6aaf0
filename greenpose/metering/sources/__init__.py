"""Sources of energy: counters and models of a machine's components, and which of them a meter reads."""
