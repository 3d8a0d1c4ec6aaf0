"""The machine's energy counters, for paired turns: models of energy are left out, for they only repeat the CPU time."""

from collections.abc import Iterator
from contextlib import contextmanager

from greenpose.metering import Source, choose, host_of
from greenpose.metering.sources import CounterSource

READ = ("measured", "estimated")


@contextmanager
def counters(device: str) -> Iterator[tuple[Source, ...]]:
    """Open what reads hardware on this machine, for work on a device; none where everything is modelled."""
    kind, _, index = device.partition(":")
    gpus = (int(index or 0),) if kind == "cuda" else ()
    chosen = [choice.source for choice in choose(host_of(gpus=gpus))]
    found = [source for source in chosen if source is not None and source.provenance.kind in READ]
    try:
        yield tuple(found)
    finally:
        for source in found:
            if isinstance(source, CounterSource):
                source.close()
