"""The figures that GreenPose promises, counted: `python -m benchmarks.NAME` prints them and a verdict."""
