"""Raw samples: blocks with their fences and power over time, from logs that belong to their records."""

import base64
import random
import re
import statistics
from dataclasses import replace

import numpy as np
import pytest

from greenpose.metering import Joules, Window
from greenpose.metering.window import WindowLog
from greenpose.record import dumps
from greenpose.report import render_study, study
from greenpose.report.figures.samples import (
    MOST_TRACED,
    block_lines,
    blocks_picture,
    poses,
    power_picture,
    power_traces,
)
from greenpose.report.page import MOST_BYTES as MOST_PAGE
from greenpose.report.page import with_records
from greenpose.store import Predictions, trace, traces
from greenpose.store.pictures import source_of, with_texts
from tests.cli.running import greenpose
from tests.report.html_tree import read
from tests.report.records import record
from tests.report.undrawn import without_drawings

CONSTANT = {"title": "t", "generated_at": "2025-06-01T12:00:00+00:00", "version": "0.1.0"}
MOST_BYTES = 10_000


def window(number, name, start, seconds, joules, **changes):
    """An outermost window of a modelled CPU and its memory."""
    facts = {
        "parent": None,
        "attempt": 1,
        "started_at": "2026-01-01T00:00:00.000+00:00",
        "cpu_seconds": seconds,
        "joules": {
            part: Joules(share * joules / 2, share * joules, 2 * share * joules) for part, share in PARTS.items()
        },
        "items": 8,
        "ok": True,
    }
    return Window(**({"id": number, "name": name, "started_s": start, "seconds": seconds} | facts | changes))


PARTS = {"cpu": 0.75, "ram": 0.25}


def metered(exits=(3, 4), blocks=8, *, start=100.0, first=1000, **changes):
    """The windows of a measurement, each block in an order of its own; the first one warmed up."""
    chance, found, at = random.Random(5), [], start
    for block in range(blocks + 1):
        for place in chance.sample([0, *exits], len(exits) + 1):
            name = f"inference exit {place}" if place else "inference idle"
            joules = 6.0 * chance.gauss(1, 0.05) * (30 if block == 0 else 1)
            found.append(window(first + len(found), name, at, 0.5, joules, **({"items": 16 * place} if place else {})))
            at += 0.55
    return [replace(each, **changes) for each in found]


def trained(epochs=20, start=5.0):
    """The windows of a training, with what lies inside the epochs."""
    found, at = [window(1, "data", 0.0, 2.0, 20.0), window(2, "count", 2.5, 1.0, 11.0)], start
    for epoch in range(1, epochs + 1):
        for name, seconds in (("train", 3.0), ("validate", 0.7), ("checkpoint", 0.1)):
            found.append(window(len(found) + 1, f"{name}/epoch {epoch}", at, seconds, 12.3 * seconds))
            if name == "train":
                inner = window(500 + epoch, f"train/epoch {epoch}/forward", at, 1.0, 12.0, parent=len(found))
                found.append(replace(inner))
            at += seconds + 0.01
    return found


def roots(windows):
    return [each for each in windows if each.parent is None]


def holding(windows, run=None):
    """A record whose phases and energies are those of the windows."""
    run = run or record("HRNet4-OKD")
    names = dict.fromkeys(each.name.replace("/", " ").split()[0] for each in roots(windows))
    phases = [
        run.phases[0].model_copy(
            update={
                "name": name,
                "energy_kwh": sum(each.energy.mid for each in roots(windows) if each.name.startswith(name)) / 3.6e6,
            }
        )
        for name in names
    ]
    other = run.phases[0].model_copy(update={"name": "other", "energy_kwh": 1e-3})
    blocks = trace(run, windows).blocks
    exits = [
        each.model_copy(update={"energy_j_per_image": statistics.median(blocks[each.exit])})
        if each.exit in blocks
        else each
        for each in run.exits
    ]
    return run.model_copy(update={"phases": [*phases, other], "exits": exits})


def traced(windows, run=None):
    run = holding(windows, run)
    return replace(study([run]), traces=(trace(run, windows),))


def test_a_window_of_each_exit_makes_a_block_and_the_first_one_is_left_out():
    windows = metered()
    found = trace(record(), windows).blocks
    assert {exit_: len(values) for exit_, values in found.items()} == {3: 8, 4: 8}
    by_hand = [each.energy.mid / each.items for each in windows if each.name == "inference exit 3"][1:]
    assert found[3] == pytest.approx(by_hand)


def test_a_block_with_a_window_in_doubt_is_left_out_for_every_exit():
    windows = metered()
    third = [each for each in windows if each.name == "inference exit 4"][3]
    ill = [replace(each, doubts={"clock": "went back"}) if each is third else each for each in windows]
    found = trace(record(), ill).blocks
    whole = trace(record(), windows).blocks
    assert {exit_: len(values) for exit_, values in found.items()} == {3: 7, 4: 7}
    assert found[3] == (*whole[3][:2], *whole[3][3:])


def test_the_measurement_of_the_last_attempt_counts():
    windows = [*metered(blocks=2, attempt=1), *metered(blocks=4, attempt=2)]
    assert {len(values) for values in trace(record(), windows).blocks.values()} == {4}


def test_fences_and_interval_are_tukeys_and_the_medians():
    (line,) = [each for each in block_lines(traced([*trained(), *metered()])) if each.name.endswith("4")]
    low, high = np.percentile(line.values, [25, 75])
    assert line.fences == pytest.approx((low - 1.5 * (high - low), high + 1.5 * (high - low)))
    assert line.interval.low <= line.middle <= line.interval.high
    spoiled = replace(line, values=(*line.values[:-1], 10 * line.middle))
    assert spoiled.far == [10 * line.middle]
    assert line.far == [each for each in line.values if not line.fences.low <= each <= line.fences.high]


def test_power_over_time_holds_all_that_the_windows_hold():
    windows = [*trained(), *metered()]
    (trace,) = power_traces(traced(windows))
    whole = sum(each.energy.mid for each in roots(windows))
    assert trace.joules == pytest.approx(whole, rel=1e-9)
    measuring = sum(each.energy.mid for each in windows if each.name.startswith("inference"))
    assert trace.step * sum(trace.watts["Test and metering"]) == pytest.approx(measuring, rel=1e-9)
    assert trace.step * sum(trace.watts["Validation"]) == pytest.approx(20 * 0.7 * 12.3, rel=1e-9)


def test_a_constant_load_is_a_level_line():
    windows = [window(n, f"train/epoch {n}", 3.0 * n, 3.0, 36.0) for n in range(40)]
    (trace,) = power_traces(traced(windows))
    assert trace.watts["Training steps"][5:] == pytest.approx(
        [12.0] * (len(trace.watts["Training steps"]) - 5), rel=0.3
    )
    assert trace.peak == pytest.approx(12.0)


def test_attempts_follow_one_another_on_one_clock():
    first = [window(1, "train/epoch 1", 1.0, 4.0, 40.0)]
    second = [window(1, "train/epoch 2", 0.5, 4.0, 40.0, attempt=2)]
    starts = [(each.start, each.seconds) for each in trace(record(), [*second, *first]).stretches]
    assert starts == [(1.0, 4.0), (5.5, 4.0)]


def test_a_log_that_does_not_add_up_to_its_record_is_not_drawn():
    windows = [*trained(), *metered()]
    run = holding(windows)
    lost = trace(run, windows[:-3])
    assert power_picture(replace(study([run]), traces=(lost,))) is None
    other = trace(run, metered(blocks=6))
    assert (
        blocks_picture(replace(study([run]), traces=(replace(other, blocks={3: (1.0, 2.0), 4: (1.0, 2.0)}),))) is None
    )
    strange = replace(trace(run, windows), config_hash="0" * 64)
    assert power_picture(replace(study([run]), traces=(strange,))) is None


def test_a_runs_power_takes_ten_kilobytes_however_its_phases_take_turns():
    names = ("train", "validate", "checkpoint", "test")
    windows = [window(n, f"{names[n % 4]}/epoch {n}", 1.37 * n, 1.3, 9.0 + n % 7) for n in range(2000)]
    picture = power_picture(traced(windows))
    (panel,) = picture.panels
    assert len(panel.svg.encode()) <= MOST_BYTES
    calm = power_picture(traced([*trained(60), *metered(start=400.0)]))
    assert len(calm.panels[0].svg.encode()) <= MOST_BYTES


def test_few_runs_are_drawn_and_many_are_not():
    windows = [*trained(), *metered()]
    runs = [holding(windows, record("HRNet4-OKD", seed=seed)) for seed in range(1, MOST_TRACED + 2)]
    few, many = (replace(study(some), traces=tuple(trace(run, windows) for run in some)) for some in (runs[:-1], runs))
    assert len(power_traces(few)) == MOST_TRACED
    assert len(block_lines(few)) == 2 * MOST_TRACED
    assert power_picture(many) is None
    assert blocks_picture(many) is None


def test_the_page_draws_them_and_tells_their_numbers():
    page = read(render_study(traced([*trained(), *metered()]), **CONSTANT))
    ids = {element.attributes.get("id") for element in page}
    assert {"blocks-figure", "power-figure", "blocks-data", "power-data"} <= ids
    plain = {element.attributes.get("id") for element in read(render_study(study([record("HRNet4-OKD")]), **CONSTANT))}
    assert not {"blocks-figure", "power-figure"} & plain


def test_logs_are_found_beside_records_and_damaged_ones_do_no_harm(tmp_path):
    windows = [*trained(), *metered()]
    for name, seed in (("good", 1), ("damaged", 2), ("none", 3)):
        run = holding(windows, record("HRNet4-OKD", seed=seed))
        (tmp_path / name).mkdir()
        (tmp_path / name / "record.json").write_text(dumps(run))
        if name == "good":
            log = WindowLog(tmp_path / name / "windows.jsonl")
            log.begin({"started_at": "now"})
            for each in windows:
                log.append(each)
            log.close()
    (tmp_path / "damaged" / "windows.jsonl").write_bytes(b'\xff{"id": 1}\n[]\n{"schema": 3}\n')
    assert [each.run for each in traces([tmp_path])] == [record("HRNet4-OKD", seed=1).name]
    done = greenpose("report", tmp_path, "-o", "a.html", cwd=tmp_path, act=without_drawings)
    assert done.code == 0, done.err
    assert 'id="power-figure"' in (tmp_path / "a.html").read_text()


HEADER = b"\x89PNG\r\n\x1a\n0000IHDR\x00\x00\x04\xc4\x00\x00\x00\xf4"


def pictured(*runs, words="12 test images", png=HEADER):
    """The page's study of runs that have a picture each."""
    of = [Predictions(run=run.name, source=source_of(run), words=words, png=png) for run in runs]
    return replace(study(list(runs)), pictures=tuple(of))


@pytest.mark.usefixtures("undrawn")
def test_the_page_holds_the_picture_of_each_run_closed_with_its_words_and_its_size():
    runs = [record("HRNet4-OKD", seed=seed) for seed in (1, 2)]
    compared = pictured(*runs, words='a "quoted" <b>word</b>')
    page = render_study(compared, **CONSTANT)
    images = [each for each in read(page) if each.tag == "img"]
    assert [each.attributes["alt"] for each in images] == ['a "quoted" <b>word</b>'] * 2
    assert [(each.attributes["width"], each.attributes["height"]) for each in images] == [("1220", "244")] * 2
    held = images[0].attributes["src"].removeprefix("data:image/png;base64,")
    assert base64.b64decode(held, validate=True) == compared.pictures[0].png
    (fold,) = [each for each in read(page) if each.attributes.get("id") == "poses"]
    assert fold.tag == "details"
    assert "open" not in fold.attributes


def test_pictures_of_other_runs_and_of_many_runs_are_left_out():
    runs = [record("HRNet4-OKD", seed=seed) for seed in range(1, MOST_TRACED + 2)]
    assert len(poses(pictured(*runs[:-1]))) == MOST_TRACED
    assert poses(pictured(*runs)) == []
    assert poses(replace(study(runs[:1]), pictures=pictured(*runs[1:3]).pictures)) == []


@pytest.mark.usefixtures("undrawn")
def test_pictures_add_their_own_bytes_to_the_page_and_take_no_room_from_the_records():
    runs = [record("HRNet4-OKD", seed=seed) for seed in range(1, MOST_TRACED + 1)]
    plain, page = render_study(study(runs), **CONSTANT), render_study(pictured(*runs, png=bytes(44_900)), **CONSTANT)
    assert 0 < len(page) - len(plain) < MOST_TRACED * 60_300 + 500
    full = "x" * MOST_PAGE + "<!-- records -->"
    held = ['id="greenpose-records"' in with_records(full, runs, beside=beside) for beside in (0, MOST_PAGE)]
    assert held == [False, True]
    left = re.sub(r"(?s)<details class=\"fold\" id=\"poses\".*?</details>\n", "", page)
    assert left.replace("@media print { #poses img { max-width: 100%; height: auto } }\n", "") == plain


def test_the_report_finds_pictures_beside_records(tmp_path):
    run = record("HRNet4-OKD")
    png = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
    )
    (tmp_path / "record.json").write_text(dumps(run))
    (tmp_path / "predictions.png").write_bytes(with_texts(png, "one test image", run))
    assert greenpose("report", tmp_path, "-o", "a.html", cwd=tmp_path, act=without_drawings).code == 0
    assert 'alt="one test image"' in (tmp_path / "a.html").read_text()
