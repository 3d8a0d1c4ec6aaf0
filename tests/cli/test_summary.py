from greenpose.cli.summary import record_line
from greenpose.store import RunFolder
from tests.report.records import record


def test_a_finished_run_is_summed_up_with_units_spread_and_provenance(tmp_path):
    folder = RunFolder(tmp_path)
    done = record("HRNet4-OKD", ap={3: 0.512, 4: 0.6})
    folder.write_record(done)
    line = record_line(folder)
    interval = done.exit(3).basis["ap"].type_a
    assert f"exit 3: AP 51 [{100 * interval.low:.0f}-{100 * interval.high:.0f}] %" in line
    assert "] Wh (modelled)" in line
