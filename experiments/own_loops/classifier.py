"""A classifier with three exits, trained by its own loop, as a record of GreenPose.

    python experiments/own_loops/classifier.py --out runs/lab
    greenpose report runs/lab

The images are made here: four kinds of blobs, so that nothing is downloaded.
"""

import argparse
import sys

import torch
from torch import Tensor, nn

import greenpose

CLASSES, SIDE = 4, 32


def images(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return images [count, 1, 32, 32] of blobs in noise, and in which quarter each blob lies."""
    draw = torch.Generator().manual_seed(seed)
    quarter = torch.randint(CLASSES, (count,), generator=draw)
    noise = 1.6 * torch.randn(count, 1, SIDE, SIDE, generator=draw)
    for image, which in zip(noise, quarter.tolist(), strict=True):
        top, left = 16 * (which // 2) + 4, 16 * (which % 2) + 4
        image[:, top : top + 8, left : left + 8] += 1.0
    return noise, quarter


class Classifier(nn.Module):
    """Three stages of convolutions, with a head after each."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList([_stage(1, 8), _stage(8, 16), _stage(16, 64)])
        self.heads = nn.ModuleList([_head(8), _head(16), _head(64)])

    def forward(self, batch: Tensor) -> dict[int, Tensor]:
        """Return the scores [count, class] of each exit."""
        found = {}
        for number, (stage, head) in enumerate(zip(self.stages, self.heads, strict=True), start=1):
            batch = stage(batch)
            found[number] = head(batch)
        return found

    def truncated(self, number: int) -> nn.Sequential:
        """Return what an exit needs, and nothing deeper."""
        return nn.Sequential(*self.stages[:number], self.heads[number - 1])


def _stage(before: int, after: int) -> nn.Sequential:
    first, second = (nn.Conv2d(width, after, 3, stride=s, padding=1) for width, s in ((before, 2), (after, 1)))
    return nn.Sequential(first, nn.BatchNorm2d(after), nn.ReLU(), second, nn.BatchNorm2d(after), nn.ReLU())


def _head(width: int) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, CLASSES))


def interval(hits: Tensor) -> tuple[float, float, float]:
    """Return the share of hits with its 95 % interval by Wilson's formula."""
    n, z = len(hits), 1.96
    share = float(hits.float().mean())
    middle, half = share + z * z / (2 * n), z * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return share, (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def main() -> None:
    """Train, test, and leave a record."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--out", default="runs/lab")
    asked.add_argument("--country", default="ITA")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--epochs", type=int, default=4)
    asked.add_argument("--train", type=int, default=2000)
    asked.add_argument("--seconds", type=float, default=20.0, help="longest time for metering the exits")
    given = asked.parse_args()

    torch.manual_seed(given.seed)
    torch.set_num_threads(1)  # so that other runs on the machine disturb less
    with greenpose.experiment(
        "blobs",
        out=given.out,
        country=given.country,
        seed=given.seed,
        data="blobs in noise",
        images={"train": given.train, "test": 1000},
        settings={"epochs": given.epochs, "lr": 3e-3},
        measure={"max_seconds": given.seconds},
    ) as run:
        with run.window("data"):
            shown, labels = images(given.train, seed=given.seed)
            unseen, truth = images(1000, seed=10_000)
        net = Classifier()
        step = torch.optim.Adam(net.parameters(), lr=3e-3)
        for epoch in range(1, given.epochs + 1):
            with run.window("train", epoch=epoch, items=given.train):
                for batch in torch.randperm(given.train).split(64):
                    losses = [nn.functional.cross_entropy(out, labels[batch]) for out in net(shown[batch]).values()]
                    step.zero_grad()
                    sum(losses, torch.zeros(())).backward()
                    step.step()
        net.eval()
        with run.window("test", items=len(truth)), torch.no_grad():
            found = net(unseen)
        for number, out in found.items():
            hits = out.argmax(dim=1) == truth
            run.exit(number, net=net.truncated(number), images=unseen[:32], metrics={"top1": interval(hits)})
    sys.stdout.write(f"{run.folder.path}\n")


if __name__ == "__main__":
    main()
