"""`greenpose profile`: the paper's headline percentages beside ours."""

import pytest

from tests.cli.running import greenpose


@pytest.mark.slow
def test_the_papers_share_of_exit_3_and_that_of_minimal_networks_stand_side_by_side(tmp_path):
    text = greenpose("profile", cwd=tmp_path).out
    headline = text[text.index("Exit 3 against exit 4, as the paper counts") :]
    for figure in ("27.453 %", "61.86 %", "61.94 %", "61.66 %", "26.93 %", "61.30 %"):
        assert figure in headline
    found = greenpose("profile", "--json", cwd=tmp_path).json[0]
    assert found["paper_exit3"]["crop_params"] == 7_834_480
    assert found["paper_exit3"]["whole_params"] == 28_537_532
    shares = [(round(each["params_percent"], 3), round(each["macs_percent"], 3)) for each in found["exits"]]
    assert shares == [(1.399, 16.095), (3.221, 23.522), (26.935, 61.298), (100, 100)]
