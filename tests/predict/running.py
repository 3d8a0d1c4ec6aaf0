"""Predictions in this process, without the command line."""

from functools import partial

from greenpose.metering import Meter
from greenpose.predict import find_poses, of_artefact


class Silent:
    """Hears everything, and stops after so many images."""

    def __init__(self, most=None):
        self.most, self.seen = most, []

    def begin(self, estimator, regions, images):
        self.estimator, self.regions, self.total = estimator, regions, images

    def on_progress(self, account):
        self.seen.append(account.images)

    def stop(self):
        return self.most is not None and bool(self.seen) and self.seen[-1] >= self.most


def predict(model, named, output, *, watcher=None, **options):
    """Return what became of a prediction by an artefact, and its bill."""
    watcher = watcher or Silent()
    with Meter([]) as meter:
        return find_poses(
            partial(of_artefact, model), [str(each) for each in named], output, meter=meter, watcher=watcher, **options
        )
