"""A loop of any kind, without torch: a model of numpy is fitted, and the run leaves a record.

    python experiments/own_loops/plain_loop.py --out runs/plain
    greenpose report runs/plain

What differs from the loop without GreenPose is the `with` around it, and two lines: a window and an exit.
"""

import argparse
import sys

import numpy as np

import greenpose


def main() -> None:
    """Fit a line by gradient descent, and leave a record that is judged by its mean error in millimetres."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--out", default="runs/plain")
    asked.add_argument("--country", default="ITA")
    asked.add_argument("--seconds", type=float, default=10.0, help="longest time for metering the exits")
    given = asked.parse_args()

    draw = np.random.default_rng(0)
    places, truth = draw.normal(size=(4000, 50)), draw.normal(size=50)
    readings = places @ truth + draw.normal(scale=2.0, size=4000)
    weights = np.zeros(50)

    error = {"direction": "lower", "unit": "mm", "label": "mean error", "floor": 5}
    with greenpose.experiment(
        "plain", out=given.out, country=given.country, metrics={"error": error}, measure={"max_seconds": given.seconds}
    ) as run:
        for epoch in range(1, 21):
            with run.window("train", epoch=epoch, items=3000):
                for batch in np.array_split(draw.permutation(3000), 30):
                    off = places[batch] @ weights - readings[batch]
                    weights -= 0.05 * off @ places[batch] / len(batch)
        misses = np.abs(places[3000:] @ weights - readings[3000:])
        spread = 1.96 * float(misses.std()) / len(misses) ** 0.5
        middle = float(misses.mean())
        run.exit(
            1,
            net=lambda batch: batch @ weights,
            images=places[3000:3064],
            metrics={"error": (middle, middle - spread, middle + spread)},
            params=weights.size,
            macs=weights.size,
        )
    sys.stdout.write(f"{run.folder.path}\n")


if __name__ == "__main__":
    main()
