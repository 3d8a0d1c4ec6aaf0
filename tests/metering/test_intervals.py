"""Stated intervals hold the truth as often as they say, counted on noise whose truth is known.

With 1000 trials in each cell it is `python -m benchmarks.intervals`.
"""

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from benchmarks.intervals import another_run, fixed
from benchmarks.noise import DRIFTING, HEAVY_TAILED, LAWS, NORMAL, SPIKY


@pytest.fixture
def random():
    return np.random.default_rng(20)


def share(tallies):
    """Return the part of all trials that held the truth."""
    return sum(tally.hits for tally in tallies) / sum(tally.trials for tally in tallies)


@pytest.mark.parametrize("name", NORMAL | HEAVY_TAILED)
def test_an_interval_of_a_few_or_many_blocks_holds_the_median_in_95_of_100(name, random):
    """4 x 400 trials have a standard deviation of 0.55 points."""
    tallies = [fixed(LAWS[name], blocks, trials=400, spread=0.1, random=random) for blocks in (3, 6, 8, 15)]
    assert 0.93 <= share(tallies) <= 0.98


@pytest.mark.parametrize("name", DRIFTING | SPIKY)
def test_spikes_and_drift_leave_an_interval_right_in_90_of_100(name, random):
    tallies = [fixed(LAWS[name], blocks, trials=300, spread=0.1, random=random) for blocks in (3, 6, 8, 15)]
    assert share(tallies) >= 0.91


@pytest.fixture(scope="module")
def measured():
    """Coverages of whole measurements, counted in a process of its own: the checks of shapes and types cost minutes."""
    program = """
        import json
        import numpy as np
        from benchmarks.intervals import whole
        from benchmarks.noise import DRIFTING, LAWS
        random = np.random.default_rng(20)
        alone = [whole(law, 1, trials=200, spread=0.07, random=random)["exit 1"] for law in list(LAWS.values())[:3]]
        ratios = {name: whole(law, 2, trials=100, spread=0.03, random=random) for name, law in DRIFTING.items()}
        print(json.dumps({
            "alone": sum(tally.hits for tally in alone) / 600,
            "blocks": np.mean([blocks for tally in alone for blocks in tally.blocks]),
            "ratios": {name: tallies["ratio"].share for name, tallies in ratios.items()},
        }))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.slow
def test_looking_whether_it_is_enough_leaves_95_of_100(measured):
    """600 trials have a standard deviation of 0.9 points; looking every three blocks from the third on costs 5."""
    assert measured["alone"] >= 0.93
    assert 6 < measured["blocks"] < 30


@pytest.mark.slow
@pytest.mark.parametrize("name", DRIFTING)
def test_ratios_within_blocks_hold_the_truth_while_the_machine_drifts(name, measured):
    """The levels drift by more than the noise: the ratio must not feel it."""
    assert measured["ratios"][name] >= 0.9


def test_an_interval_knows_that_blocks_that_are_alike_tell_less(random):
    """Counted as independent, 12 blocks alike by 0.6 hold the long-run level in 74 of 100."""
    assert another_run(0.6, 12, trials=400, random=random).share >= 0.83


@pytest.mark.slow
def test_the_benchmark_keeps_its_promise():
    done = subprocess.run([sys.executable, "-m", "benchmarks.intervals"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
