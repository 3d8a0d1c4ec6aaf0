"""`greenpose measure`: its table on a fake machine, and the command itself on this one."""

import io
import os
import re
import signal
import time
from dataclasses import replace

import pytest
import yaml
from rich.console import Console

from greenpose.cli.measure_table import print_costs, print_notes, title
from greenpose.metering import read_windows
from tests.cli.running import begun, greenpose
from tests.fakes.meters import BrokenSource
from tests.metering.test_inference import PLAN, Bench
from tests.run.measuring import EXPERIMENT, fake_measurement, finished_run

NBSP = "\u00a0"


def printed(found, width=80, *, verbose=False) -> str:
    console = Console(width=width, file=io.StringIO(), highlight=False)
    console.print(title(found))
    print_costs(found, console, verbose=verbose)
    print_notes(found, console, verbose=verbose)
    return console.file.getvalue().replace(NBSP, " ")


def row(text: str, head: str) -> list[str]:
    """The cells of the rows that begin with a head, page after page."""
    lines = [line for line in text.splitlines() if line.startswith(head)]
    return [part for line in lines for part in re.split(r"  +", line.strip())[1:]]


@pytest.fixture
def found():
    """Exit 2: 0.25 s a call of 4 images at 30 W, exit 3: 0.5 s at 40 W; idle 10 W; nothing varies."""
    return fake_measurement(Bench(), {2: 0.25, 3: 0.5})


def test_every_exit_has_every_number_with_its_unit_in_the_header(found):
    text = printed(found)
    assert row(text, "Latency, ms") == ["62.5", "125"]
    assert row(text, "Gross energy, J/image") == ["1.88", "5.00", "×0.5–2"]
    assert row(text, "Net energy, J/image") == ["1.25", "3.75", "×0.5–2"]
    assert row(text, "Gross energy, % of exit 3") == ["37.5", "100"]
    assert row(text, "Latency, % of exit 3") == ["50.0", "100"]
    assert len(row(text, "CO2eq, mg/1000 images")) == 3
    compute = 100 * found.exits[0].macs / found.exits[1].macs
    assert row(text, "MACs, % of exit 3") == [f"{compute:.1f}", "100"]


def test_numbers_of_one_unit_share_a_prefix_so_that_they_compare(found):
    exits = [entry.model_copy(update={"latency_p95_s": 1.5}) for entry in found.exits]
    text = printed(found.model_copy(update={"exits": exits}))
    assert row(text, "Latency, s") == ["0.0625", "0.125"]
    assert row(text, "Latency, 95th percentile, s") == ["1.50", "1.50"]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_nothing_is_wider_than_the_terminal_and_no_exit_is_left_out(width):
    found = fake_measurement(Bench(noise=0.3), {1: 0.1, 2: 0.25, 3: 0.5, 4: 0.7})
    text = printed(found, width)
    assert max(map(len, text.splitlines())) <= width
    heads = [line for line in text.splitlines() if re.fullmatch(r"( +exit \d)+ +B *", line)]
    assert re.findall(r"exit (\d)", "".join(heads)) == ["1", "2", "3", "4"]
    assert len(row(text, "Net energy")) == 4 + len(heads)
    assert "…" not in text


def test_a_network_with_one_exit_is_compared_with_nothing():
    text = printed(fake_measurement(Bench(), {3: 0.5}))
    assert "% of exit" not in text
    assert "not measured" not in text


def test_energy_that_cannot_be_read_is_not_measured_and_the_reason_stands_below():
    bench = Bench()
    bench.sources = [BrokenSource(bench.clock, good=9)]
    text = printed(fake_measurement(bench, {2: 0.25, 3: 0.5}))
    for head in ("Gross energy, J/image", "Net energy", "CO2eq,", "Gross energy, J/GMAC", "Gross energy, % of exit 3"):
        assert row(text, head) == ["not measured", "not measured"], head
    assert row(text, "Latency, ms") == ["62.5", "125"]
    assert "the counter is gone" in " ".join(text.split())


def test_details_are_for_those_who_ask_and_have_their_reasons_too(found):
    assert "CPU time" not in printed(found)
    assert "hardware is not known" not in printed(found)
    text = printed(found, verbose=True)
    assert row(text, "CPU time, ms") == ["31.2", "62.5"]
    assert row(text, "SCI") == ["not measured", "not measured"]
    assert "hardware is not known" in " ".join(text.split())


def test_shares_without_the_final_exit_are_not_measured_and_the_reason_stands_below():
    text = printed(fake_measurement(Bench(), {2: 0.25}, left_out=3))
    for head in ("Latency, %", "Gross energy, %", "MACs, %"):
        assert row(text, head) == ["not measured"], head
    assert "exit, 3, was left out" in " ".join(text.split())


def test_the_notes_say_whether_it_converged_and_what_to_do_if_not(found):
    assert "blocks of this run agree to within 5%" in printed(found)
    text = " ".join(printed(fake_measurement(Bench(noise=0.9), {2: 0.25, 3: 0.5})).split())
    assert "converged NO" in text
    assert "for more time: --set measure.max_blocks=" in text
    limits = {"measure": EXPERIMENT["measure"] | {"max_blocks": 1000}}
    fake = fake_measurement(Bench(noise=0.9), {2: 0.25, 3: 0.5}, **limits)
    text = " ".join(printed(fake).split())
    advised = int(text.partition("for more time: --max-seconds ")[2].split()[0])
    agreement, blocks = fake.exits[0].measurement["agreement"], fake.blocks
    assert blocks == 12
    assert advised == pytest.approx(limits["measure"]["max_seconds"] * (agreement / 0.05) ** 2, rel=0.1)


def test_after_a_single_block_the_advice_is_what_blocks_usually_take():
    """Blocks that scatter by 6 % take 57 for 2 %: four times as many as the one there was would be far too few."""
    limits = {"measure": EXPERIMENT["measure"] | {"max_blocks": 1000, "max_seconds": 3, "rel_ci": 0.02}}
    plan = replace(PLAN, max_seconds=0.5)
    text = " ".join(printed(fake_measurement(Bench(), {2: 0.25, 3: 0.5}, plan=plan, **limits)).split())
    assert "NO: the blocks of this run are a single one, 2% was asked for" in text
    assert "for more time: --max-seconds 171" in text
    assert "warning a single block has no interval" in text


def test_what_is_called_agreed_is_not_what_the_table_shows_where_runs_differ():
    """Blocks agree to within 5 %; runs differ by 12 %, which makes every interval of a cost ±24 % at least."""
    text = " ".join(printed(fake_measurement(Bench(noise=0.02, between_runs=0.12), {2: 0.25, 3: 0.5})).split())
    assert "blocks of this run agree to within 5%" in text
    assert "it is wider than blocks differ: runs on such a machine do by 12%" in text
    assert "known to within" not in text


def test_the_95th_percentile_has_an_interval_from_72_calls_on_and_else_the_reason_stands_below():
    many = printed(fake_measurement(Bench(noise=0.2), {2: 0.02, 3: 0.04}))
    assert all(re.search("[±[]", text) for text in row(many, "Latency, 95th"))
    assert "the percentile has none" not in many
    few = printed(fake_measurement(Bench(noise=0.2), {2: 0.5, 3: 1.0}))
    assert not re.search("[±[]", "".join(row(few, "Latency, 95th")))
    assert "the percentile has none where there are fewer than 72 calls" in " ".join(few.split())


def test_what_disturbed_the_measurement_stands_below_with_what_to_try_next():
    text = " ".join(printed(fake_measurement(Bench(resolution_j=1.0), {2: 0.25, 3: 0.5})).split())
    assert "warning exit 2: the counter's step is" in text
    assert "lengthen the windows" in text


def test_the_notes_name_source_grid_grade_process_and_weights(found):
    text = " ".join(printed(found).split())
    for words in (
        "cpu measured: fake",
        "grade A",
        "331 g/kWh",
        "ITA",
        "PUE 1",
        "4 images",
        "1 thread",
        "random ones",
    ):
        assert words in text


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with an experiment and a run that looks finished."""
    folder = tmp_path_factory.mktemp("measured")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    finished_run(folder / "tiny-00c0ffee")
    return folder


QUICK = ("--max-seconds", 0.5, "--set", "measure.max_blocks=3")


def test_an_experiment_is_measured_in_a_pinned_process_and_told_as_one_document(workplace):
    done = greenpose(
        "measure", "tiny.yaml", "--json", *QUICK, "--batch", 3, "--log", "windows.jsonl", cwd=workplace, cold=True
    )
    assert done.code == 0, done.err
    found = done.json
    assert (found["name"], found["weights"], found["source"]) == ("tiny", "fresh", "tiny.yaml")
    assert (found["process"]["pinned"], found["process"]["torch_threads"]) == (True, 1)
    assert found["config"]["measure"] | {"batch": 3, "max_blocks": 3, "max_seconds": 0.5} == found["config"]["measure"]
    assert [entry["exit"] for entry in found["exits"]] == [2, 3]
    small, large = found["exits"]
    assert small["macs"] < large["macs"]
    assert small["params"] < large["params"]
    for entry in found["exits"]:
        assert entry["energy_j_per_image"] > entry["net_energy_j_per_image"]
        assert entry["co2eq_g_per_1000_images"] > 0
        assert entry["measurement"]["items_per_call"] == 3
        basis = entry["basis"]["energy_j_per_gmac"]
        assert basis["type_b"]["low"] < entry["energy_j_per_gmac"] < basis["type_b"]["high"]
    assert isinstance(found["converged"], bool)
    names = [window.name for window in read_windows(workplace / "windows.jsonl")]
    assert names.count("inference exit 2") == 1 + found["blocks"]


def test_a_run_is_measured_with_its_weights_and_leaves_nothing_behind(workplace):
    before = sorted(workplace.rglob("*"))
    done = greenpose("measure", "tiny-00c0ffee", *QUICK, "--exit", 3, "--precise", "--threads", 2, cwd=workplace)
    assert done.code == 0, done.err
    assert "tiny-00c0ffee, exit 3, images of 32x32, trained weights" in done.out
    assert "random ones" not in done.out
    assert "2" + NBSP + "threads" in done.out
    assert "2%" in done.out
    assert done.err == ""
    assert sorted(workplace.rglob("*")) == before


def test_mistakes_are_told_together_before_anything_starts(workplace):
    done = greenpose("measure", "tiny.yaml", "--exit", 4, "--country", "Italy", "--log", "no/where", cwd=workplace)
    assert done.code == 2
    assert done.out == ""
    assert "Traceback" not in done.err
    lines = done.err.strip().splitlines()
    assert len(lines) == 3
    for line, words in zip(lines, ("exits 2, 3", "did you mean ITA", "no folder no"), strict=True):
        assert words in line


def test_an_interrupt_ends_in_130_without_a_traceback(workplace):
    process = begun("measure", "tiny.yaml", "--log", "long.jsonl", "--set", "measure.rel_ci=1e-9", cwd=workplace)
    deadline = time.monotonic() + 60
    while not ((workplace / "long.jsonl").exists() and read_windows(workplace / "long.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    assert process.exitcode == 130
    assert "Traceback" not in process.err.read_text()
    assert process.out.read_text() == ""
