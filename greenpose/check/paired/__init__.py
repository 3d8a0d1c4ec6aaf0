"""The paired check: two versions of the code that take turns on one machine, and the rule that judges the pairs."""
