"""One network for all exits of a run: images that go on can only use what was computed with the same weights."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import torch

from greenpose.config import Experiment
from greenpose.counting import architecture_of
from greenpose.formatting import listed
from greenpose.model import HRNet, SubNetwork
from greenpose.run.measure import trained_networks
from greenpose.run.setup import build_network, channels_last
from greenpose.store import RunFolder


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shared:
    """The network, and where its weights come from."""

    net: HRNet
    """Trunk of the deepest exit's best epoch, each head of its own exit's; in eval mode."""
    subs: dict[int, SubNetwork]
    """Each exit's own network with its own best weights, shallow to deep; in eval mode."""
    own: dict[int, bool]
    """Whether the network gives each exit all the weights of its own."""

    @property
    def sentence(self) -> str:
        """Return whose weights the network has, in words."""
        foreign = [str(exit_) for exit_, same in self.own.items() if not same]
        if not foreign:
            return "every exit has its own best weights: all are of one epoch"
        which = f"exit{'s' if len(foreign) > 1 else ''} {listed(foreign)}"
        return (
            f"{which}: head of an epoch of its own on the trunk of exit {max(self.own)}, since the best epochs differ; "
            "a run with train.selection=any-exit keeps one epoch for all"
        )


def shared_network(config: Experiment, folder: RunFolder, exits: Sequence[int]) -> Shared:
    """Return one network with some of a finished run's exits.

    Raises:
        ModelError: if a file of weights cannot be read, or belongs to another network.
    """
    subs = trained_networks(build_network(config)[0], folder, exits)
    shape = replace(architecture_of(config), exits=tuple(sorted(exits)))
    net = channels_last(HRNet(**asdict(shape)).to(config.process.device)).eval()
    entries = dict(subs[net.depth].state_dict())
    for sub in subs.values():
        entries |= {name: entry for name, entry in sub.state_dict().items() if name.startswith("heads.")}
    net.load_state_dict(entries)
    own = {
        exit_: all(torch.equal(entry, entries[name]) for name, entry in sub.state_dict().items())
        for exit_, sub in subs.items()
    }
    return Shared(net=net, subs=subs, own=own)
