"""A training step's parts, from what each piece of work cost block by block."""

import pytest

from greenpose.config import CarbonConfig, Experiment, ModelConfig, WiringConfig
from greenpose.losses import Edge
from greenpose.metering import MicroCosts
from greenpose.run.step_costs import JOINT, LABELS, UNITS, _training_step

PIECES = {JOINT: 28.0, "exit 3 alone": 6.0, "exit 4 alone": 20.0, "head 3": 2.0, "head 4": 4.0}
TEACHING = f"teaching {Edge(teacher=4, student=3)}"
RATIOS = {"explained", "overhead", "ds_overhead", "kd_overhead", "joint_saving"}


def step(*, teach=(), supervise=(3, 4), currency="joules", **pieces):
    """The step of two exits on two images, measured in six blocks that a machine made dearer and dearer."""
    config = Experiment(
        name="x",
        model=ModelConfig(exits=(3, 4)),
        wiring=WiringConfig(teach=teach, supervise=supervise),
        carbon=CarbonConfig(country="ITA"),
    )
    drift = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5]
    costs = {name: [cost * level for level in drift] for name, cost in (PIECES | pieces).items()}
    return _training_step(config, MicroCosts(currency=currency, series={currency: costs}), images=2)


def test_every_exit_has_its_own_step_its_trunk_and_what_it_shares_with_no_other():
    found = step()
    middle = 1.25 / 2  # of the blocks, for one of two images
    parts = {part.exit: (part.alone, part.trunk, part.private) for part in found.exits}
    assert parts[3] == pytest.approx((6 * middle, 4 * middle, 2 * middle))
    assert parts[4] == pytest.approx((20 * middle, 16 * middle, 4 * middle))
    assert (found.images, found.blocks, found.unit) == (2, 6, "J")
    assert found.cost_per_image == pytest.approx(28 * middle)


def test_ratios_are_taken_inside_a_block_where_drift_is_the_same_for_all():
    found = step()
    assert found.explained == pytest.approx((16 + 2 + 4) / 28)
    assert found.joint_saving == pytest.approx((6 + 20) / 28)
    assert found.overhead == found.ds_overhead == pytest.approx(28 / 20)
    assert found.quantity("overhead").type_a == pytest.approx((28 / 20, 28 / 20))
    assert found.quantity("cost_per_image").relative_half_width > 0.1


def test_teaching_is_private_to_the_student_and_told_from_deep_supervision():
    found = step(teach=("4->3",), **{TEACHING: 1.0, LABELS: 25.0})
    assert found.kd_overhead == pytest.approx(28 / 25)
    assert found.ds_overhead == pytest.approx(25 / 20)
    assert found.exits[0].private == pytest.approx(3 * 1.25 / 2)


@pytest.mark.parametrize(("currency", "unit"), UNITS.items())
def test_every_number_says_how_it_was_obtained_and_what_the_run_lacks(currency, unit):
    deep = step(currency=currency)
    taught = step(teach=("4->3",), supervise=(4,), currency=currency, **{TEACHING: 1.0})
    for found, lacking in ((deep, "kd_overhead"), (taught, "ds_overhead")):
        assert set(found.basis) == {"cost_per_image", *RATIOS}
        assert found.basis["cost_per_image"].unit == unit
        assert (getattr(found, lacking), found.quantity(lacking).missing) == (None, "the run has none")
