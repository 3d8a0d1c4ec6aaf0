"""One side's training step in a paired check: the side's own `fit`, let go one step at a time, and what a step does.

`paired_worker` loads this file by its path, as it is itself: what watches a step is one for both sides, while `fit`,
step, losses and optimiser are those of the side. Images are noise, the learning rate is as good as nothing: what a step
costs depends on neither, and no data need be there.
"""

import tempfile
import threading
import weakref
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

SAMPLES = 2**20
"""Images of an epoch: no check takes as many, so that no epoch ends in one."""
RATE = 1e-9
"""Learning rate."""
WATCHED = 4
"""Steps that are watched: what a step leaves behind shows in those that follow."""
FLOPS_PER_MAC = 2


def prepare(request: Mapping[str, Any], config: Any) -> tuple[dict[str, Any], "Training"]:
    """Return what to say of the training step, and what takes one whenever it is called.

    `images` of the request is how many a step has at most.
    """
    images = min(config.train.batch, request["images"])
    training = Training(config, images)
    return {"batch": images, **_watched(training)}, training


class Training:
    """A training in a thread of its own, which takes one step a call: it hears of each as `fit` tells a run's log."""

    def __init__(self, config: Any, images: int) -> None:
        """Build network and objective as runs of this side do; nothing is trained yet."""
        from greenpose.run.setup import build_network, build_objective, seed_everything

        seed_everything(config)
        torch.set_num_threads(1)
        self.net: nn.Module = build_network(config)[0]
        self._fit = (build_objective(config), made_up(config, images), _recipe(config.train, images), config.seed)
        self._go, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._watch: AbstractContextManager[Any] | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._train, daemon=True)

    def __call__(self) -> None:
        """Take a step."""
        self._go.release()
        if not self._thread.is_alive() and self._error is None:
            self._thread.start()
        self._done.acquire()
        if self._error is not None:
            raise self._error

    def under(self, watch: AbstractContextManager[Any]) -> None:
        """Take a step within a context, which belongs to the training's own thread."""
        self._watch = watch
        self()
        self._watch = None

    def _train(self) -> None:
        from greenpose.training import Files, fit

        objective, samples, recipe, seed = self._fit
        net: Any = self.net
        splits: Any = {"train": samples, "val": samples}
        with tempfile.TemporaryDirectory() as folder:
            files = Files(checkpoint=Path(folder, "checkpoint.pt"), best=lambda exit_: Path(folder, f"{exit_}"))
            self._await()
            try:
                fit(net, objective, splits, recipe=recipe, seed=seed, files=files, ledger=self)
                raise RuntimeError(f"training ended after {SAMPLES} images")
            except BaseException as error:  # noqa: BLE001 - it is raised again in the thread that asked for the step
                self._error = error
                self._done.release()

    def _await(self) -> None:
        self._go.acquire()
        if self._watch is not None:
            self._watch.__enter__()

    # What `fit` tells a run's log.

    def trained(self, epoch: int, done: int, loss: float) -> None:
        """End the step, and wait until the next one is asked for."""
        del epoch, done, loss
        if self._watch is not None:
            self._watch.__exit__(None, None, None)
        self._done.release()
        self._await()

    def enough(self) -> bool:
        """Never stop."""
        return False

    def ended(self, epoch: object) -> None:
        """Hear that an epoch is over, which does not happen."""

    closed = chose = ended


def _recipe(train: Any, images: int) -> Any:
    """Return the recipe with so many images a step, of the whole network from the first step on."""
    ours = {"batch": images, "lr": RATE, "grow": {}}
    if getattr(train, "precision", "") == "auto":  # both sides are to do the same
        ours["precision"] = "float32"
    return train.model_copy(update={name: value for name, value in ours.items() if hasattr(train, name)})


def made_up(config: Any, some: int) -> Any:
    """Return samples without data, of the side's own type: `some` pictures of noise with all their joints, over again.

    They are grey where the experiment's are depth, else in colour.
    """
    from greenpose.data import Framing, Samples, load_profile

    class MadeUp(_Noise, Samples):
        """Noise for the side's own training."""

    data, noise, profile = config.data, np.random.default_rng(0), load_profile(config.data.profile)
    width, height = data.input_size
    about = {name: getattr(data, name) for name in ("sigma", "padding", "stride", "decode") if hasattr(data, name)}
    grey = data.source == "synthetic" or data.depth_window_mm is not None
    keypoints = (some, profile.num_keypoints)
    joints = noise.random((*keypoints, 2)) * (width - 1, height - 1)
    samples = MadeUp.__new__(MadeUp)
    samples.__dict__.update(
        profile=profile,
        framing=Framing.of(data.input_size, **about) if hasattr(Framing, "of") else None,
        pictures=noise.integers(0, 256, (some, height, width) if grey else (some, height, width, 3), dtype=np.uint8),
        joints=_Again(joints.astype(np.float32)),
        visibility=_Again(np.ones(keypoints, dtype=np.int64)),
    )
    return samples


class _Noise:
    """What there is of samples without data."""

    pictures: np.ndarray

    def __len__(self) -> int:
        return SAMPLES

    def crops(self, indices: Any) -> np.ndarray:
        """Return the pictures of some samples."""
        return np.asarray(self.pictures[np.asarray(indices) % len(self.pictures)])


class _Again:
    """Rows of an array that begin anew behind its end."""

    def __init__(self, rows: np.ndarray) -> None:
        self._rows = rows

    def __getitem__(self, indices: Any) -> np.ndarray:
        return np.asarray(self._rows[np.asarray(indices) % len(self._rows)])


def _watched(training: Training) -> dict[str, Any]:
    """Return what one step does: its counts by name, and its calls of torch's operators.

    The first step is watched too: what optimiser and averages keep is made in it, and is alive in all others.
    """
    seen = Dispatched()
    for _ in range(WATCHED):
        seen.macs.clear()
        seen.calls.clear()
        training.under(seen)
    saved = Saved(training.net)
    training.under(saved)
    counts = {
        "forward_macs": seen.macs[False],
        "backward_macs": seen.macs[True],
        "peak_bytes": seen.most,
        "saved_bytes": sum(saved.sizes.values()),
    }
    return {"counts": counts, "calls": dict(sorted(seen.calls.items()))}


class Dispatched(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Counts operators and their multiply-accumulates as they pass, and follows every storage to its end."""

    def __init__(self) -> None:
        """Begin with nothing."""
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self.calls: Counter[str] = Counter()
        self.macs: Counter[bool] = Counter()
        self.alive = self.most = 0
        self._followed: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operator, and note it."""
        named = dict(kwargs or {})
        out = func(*args, **named)
        self.calls[func.overloadpacket.__name__] += 1
        if (flops := flop_registry.get(func.overloadpacket)) is not None:
            self.macs[in_backward()] += flops(*args, **named, out_val=out) // FLOPS_PER_MAC
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._follow(leaf.untyped_storage())
        return out

    def _follow(self, storage: Any) -> None:
        if storage in self._followed:
            return
        self._followed.add(storage)
        size = storage.nbytes()
        self.alive += size
        self.most = max(self.most, self.alive)
        weakref.finalize(storage, self._release, size)

    def _release(self, size: int) -> None:
        self.alive -= size


def in_backward() -> bool:
    """Return whether autograd is running backward at this moment."""
    return bool(torch._C._current_graph_task_id() != -1)  # noqa: SLF001 - torch tells its own counters by it, too


class Saved(saved_tensors_hooks):
    """Notes what is kept for the backward pass: every storage once, without the network's own."""

    def __init__(self, net: nn.Module) -> None:
        """Keep which storages are the network's."""
        self.sizes: dict[int, int] = {}
        own = {entry.untyped_storage().data_ptr() for entry in [*net.parameters(), *net.buffers()]}
        alive: list[Tensor] = []  # or an address could be used twice

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                self.sizes[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
            return tensor

        super().__init__(keep, lambda tensor: tensor)
