"""What is allowed and hardly meant is said before anything runs."""

from tests.cli.running import greenpose
from tests.run.tiny import write_grid


def test_a_weight_by_hand_on_another_size_is_warned_of_once_for_all_seeds(tmp_path):
    write_grid(tmp_path)
    plan = ("run", "--grid", "tiny.yaml", "--dry-run", "--seed", 1, "--seed", 2)
    assert "kd_weight" not in greenpose(*plan, cwd=tmp_path).err
    done = greenpose(*plan, "--set", "loss.kd_weight=2000", cwd=tmp_path)
    assert done.code == 0
    assert done.err.count("note: loss.kd_weight is 2000 on heatmaps of 8x8, where 41.7") == 1
    assert done.err.count("note:") == 1
