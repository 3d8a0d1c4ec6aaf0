"""What training hands on: the network as it is, or a moving average of its weights."""

from typing import Any, cast

from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from greenpose.model import HRNet


class Average:
    """A network that follows another one, step by step; without a decay it is the other one itself.

    Averages smooth what the last steps happened to do, so that a shorter training ends as well as a longer one.

    Source: Polyak & Juditsky (1992), SIAM J. Control Optim. 30(4); torch.optim.swa_utils.
    """

    def __init__(self, net: HRNet, *, decay: float) -> None:
        """Begin with the weights as they are; `decay` is the part of the average that a step leaves, 0 to 1."""
        self._source = net
        follow = get_ema_multi_avg_fn(decay) if decay else None  # type: ignore[no-untyped-call]  # torch's
        self._follower = None if follow is None else AveragedModel(net, multi_avg_fn=follow, use_buffers=True)

    @property
    def net(self) -> HRNet:
        """Return what is to be validated, tested and kept."""
        return self._source if self._follower is None else cast("HRNet", self._follower.module)

    def follow(self) -> None:
        """Take a step of the other network in."""
        if self._follower is not None:
            self._follower.update_parameters(self._source)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs; empty without an average."""
        return {} if self._follower is None else self._follower.state_dict()

    def restore(self, state: dict[str, Any]) -> None:
        """Take up from what `state` gave."""
        if self._follower is not None and state:
            self._follower.load_state_dict(state)
