""""""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenpose.errors import FaultsError, MeteringError
from greenpose.metering.carbon.hourly_intensity import GUESSED_ERROR, HOURLY_ERROR, Hours, read_hours

FIRST = datetime(2025, 1, 1, tzinfo=UTC)


def hours(*values: float) -> Hours:
    return Hours(name="h.csv", digest="0" * 12, scope="", first=FIRST, values=values)


DAY = hours(*(100.0 + hour for hour in range(24)))


def write(path, rows, header="datetime,g_per_kwh"):
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def rows(number=24, first=FIRST):
    return [f"{first + timedelta(hours=hour):%Y-%m-%dT%H:%M},{100 + hour}" for hour in range(number)]


def faults(path) -> tuple[str, ...]:
    with pytest.raises(FaultsError) as caught:
        read_hours(path)
    return caught.value.faults


def test_a_file_is_read_with_its_span_and_its_digest(tmp_path):
    read = read_hours(write(tmp_path / "grid.csv", rows(25)))
    assert (read.first, len(read.values), read.values[:2]) == (FIRST, 25, (100, 101))
    assert read.vintage == "2025-01-01 00:00 to 2025-01-02 01:00 UTC"
    assert read.name == "grid.csv"
    assert len(read.digest) == 12
    assert read.mean == pytest.approx(112)


def test_a_changed_file_is_read_again_and_has_another_digest(tmp_path):
    before = read_hours(write(tmp_path / "grid.csv", rows(24)))
    after = read_hours(write(tmp_path / "grid.csv", rows(30)))
    assert (len(before.values), len(after.values)) == (24, 30)
    assert before.digest != after.digest


@pytest.mark.parametrize("form", ["{:%Y-%m-%dT%H:%M:%SZ}", "{:%Y-%m-%d %H:%M:%S}", "{:%Y-%m-%dT%H:%M+00:00}"])
def test_times_are_utc_unless_they_say_otherwise(tmp_path, form):
    text = [form.format(FIRST + timedelta(hours=hour)) + ",5" for hour in range(24)]
    assert read_hours(write(tmp_path / "grid.csv", text)).first == FIRST


def test_an_offset_is_honoured_also_where_clocks_are_put_forward(tmp_path):
    offsets = ["+01:00"] * 2 + ["+02:00"] * 22
    wall = [0, 1, *range(3, 25)]
    text = [
        f"2025-03-{30 + hour // 24}T{hour % 24:02}:00{offset},7" for hour, offset in zip(wall, offsets, strict=True)
    ]
    assert read_hours(write(tmp_path / "grid.csv", text)).first == datetime(2025, 3, 29, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("columns", "taken", "scope"),
    [
        ("Carbon intensity gCO₂eq/kWh (direct),Carbon intensity gCO₂eq/kWh (Life cycle)", 20, "life cycle"),
        ("Carbon Intensity gCO₂eq/kWh (direct),Carbon Intensity gCO₂eq/kWh (LCA)", 20, "life cycle"),
        ("Carbon intensity gCO₂eq/kWh (direct),Renewable energy percentage (RE%)", 10, "direct emissions only"),
    ],
)
def test_an_export_of_electricity_maps_is_read_life_cycle_first(tmp_path, columns, taken, scope):
    lines = [f"{FIRST + timedelta(hours=hour):%Y-%m-%d %H:%M:%S},Italy,10,20" for hour in range(24)]
    read = read_hours(write(tmp_path / "export.csv", lines, f"\ufeffDatetime (UTC),Zone name,{columns}"))
    assert set(read.values) == {taken}
    assert scope in read.scope


def test_all_faults_of_a_file_are_told_together_with_their_lines(tmp_path):
    lines = rows(12)
    lines[2] = "yesterday,100"
    lines[4] = "2025-01-01T04:00,much"
    lines[5] = "2025-01-01T05:00,-1"
    lines[7] = "2025-01-01T06:00,107"
    lines[8] = "2025-01-01T05:00,107"
    lines[9] = "2025-01-01T05:20,107"
    lines[10] = "2025-01-01T09:20,107"
    told = faults(write(tmp_path / "bad.csv", lines))
    assert len(told) == 8
    text = "\n".join(told)
    assert "bad.csv:4: datetime is 'yesterday'; write ISO 8601" in text
    assert "bad.csv:6: g_per_kwh is 'much'" in text
    assert "bad.csv:7: g_per_kwh is '-1'; must be a number of g/kWh, zero or more" in text
    assert "bad.csv:9: 2025-01-01 06:00 UTC is there twice" in text
    assert "bad.csv:10: 2025-01-01 05:00 UTC comes after 2025-01-01 06:00; the hours must ascend" in text
    assert "bad.csv:11: 2025-01-01 05:20 UTC is 20 min after the line before" in text
    assert "bad.csv:12: 2025-01-01 09:20 UTC: the 3 h before it are missing" in text


@pytest.mark.parametrize("value", ["nan", "inf", "", "1,5"])
def test_what_is_no_number_of_grams_is_refused(tmp_path, value):
    lines = rows()
    lines[3] = f'2025-01-01T03:00,"{value}"'
    (fault,) = faults(write(tmp_path / "bad.csv", lines))
    assert "bad.csv:5" in fault


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("datetime,co2", ["no column g_per_kwh"]),
        ("when,g_per_kwh", ["no column datetime"]),
        ("a,b", ["no column datetime", "no column g_per_kwh"]),
        ("", ["no column datetime", "no column g_per_kwh"]),
    ],
)
def test_missing_columns_are_named(tmp_path, header, said):
    told = faults(write(tmp_path / "bad.csv", rows(), header))
    assert len(told) == len(said)
    assert all(part in fault for part, fault in zip(said, told, strict=True))


def test_less_than_a_day_is_refused(tmp_path):
    (fault,) = faults(write(tmp_path / "short.csv", rows(23)))
    assert "holds 23 hours" in fault


def test_a_file_that_is_not_there_or_no_text_is_refused_in_words(tmp_path):
    assert "No such file" in faults(tmp_path / "none.csv")[0]
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in faults(tmp_path / "bytes.csv")[0]


def test_endless_faults_are_counted_rather_than_listed(tmp_path):
    told = faults(write(tmp_path / "bad.csv", [f"no,{hour}" for hour in range(100)]))
    assert len(told) == 21
    assert "80 faults more" in told[-1]


@given(st.floats(0, 23.9), st.floats(0.001, 24))
def test_a_period_is_the_mean_of_a_fine_sum_over_its_hours(begin, length):
    end = min(24.0, begin + length)
    start = FIRST + timedelta(hours=begin)
    period = DAY.over(start, (end - begin) * 3600)
    steps = 4000
    sampled = [100.0 + int(min(23.999, begin + (end - begin) * (step + 0.5) / steps)) for step in range(steps)]
    assert period.mid == pytest.approx(sum(sampled) / steps, abs=0.02)
    assert period.guessed == pytest.approx(0, abs=1e-6)
    assert (period.low, period.high) == pytest.approx(
        (period.mid * (1 - HOURLY_ERROR), period.mid * (1 + HOURLY_ERROR))
    )


def test_an_instant_has_the_intensity_of_its_hour():
    assert DAY.over(FIRST + timedelta(hours=5, minutes=59), 0).mid == 105
    assert DAY.over(FIRST + timedelta(hours=6), 0).mid == 106


def test_a_period_may_be_given_in_any_time_zone():
    there = datetime(2025, 1, 1, 8, tzinfo=timezone(timedelta(hours=2)))
    assert DAY.over(there, 60).mid == 106


@pytest.mark.parametrize("days", [-400, -1, 2, 300])
def test_outside_the_file_the_same_hour_of_other_days_stands_in_with_a_wider_interval(days):
    two = hours(*[100.0] * 24, *[300.0 + hour for hour in range(24)])
    period = two.over(FIRST + timedelta(days=days, hours=7), 600)
    assert period.mid == pytest.approx((100 + 307) / 2)
    assert period.guessed == 1
    assert period.low < period.mid * (1 - GUESSED_ERROR)
    assert period.high > period.mid * (1 + GUESSED_ERROR)
    assert period.low >= 0


def test_a_period_half_outside_is_half_guessed():
    period = DAY.over(FIRST + timedelta(hours=23), 7200)
    assert period.guessed == pytest.approx(0.5)
    assert period.mid == pytest.approx((123 + 100) / 2)
    assert period.high - period.mid > HOURLY_ERROR * period.mid


def test_a_grid_of_nothing_stays_at_nothing():
    period = hours(*[0.0] * 48).over(FIRST + timedelta(days=9), 60)
    assert (period.low, period.mid, period.high) == (0, 0, 0)


@pytest.mark.parametrize("value", ["12,9", "1,234.5"])
def test_a_comma_in_a_number_makes_a_cell_too_many_and_is_no_smaller_number(tmp_path, value):
    lines = rows()
    lines[3] = f"2025-01-01T03:00,{value}"
    (fault,) = faults(write(tmp_path / "comma.csv", lines))
    assert "comma.csv:5: has 3 cells, the header 2; write numbers with a point" in fault


def test_lines_are_counted_as_an_editor_does_also_behind_a_quoted_break(tmp_path):
    lines = [f'{line},"of\nnote"' if number == 1 else f"{line},x" for number, line in enumerate(rows())]
    lines[5] = "2025-01-01T05:00,much,x"
    (fault,) = faults(write(tmp_path / "note.csv", lines, "datetime,g_per_kwh,note"))
    assert fault.startswith(f"{tmp_path}/note.csv:8: g_per_kwh is 'much'")


@pytest.mark.parametrize("moment", ["9999-12-31T23:59-14:00", "0001-01-01T00:00+14:00", "9999-12-31T00:00", "20250"])
def test_a_date_beyond_all_calendars_is_refused_with_its_line(tmp_path, moment):
    lines = rows()
    lines[0] = f"{moment},100"
    told = faults(write(tmp_path / "far.csv", lines))
    assert f"far.csv:2: datetime is '{moment}'" in told[0]


@pytest.mark.parametrize("text", ['"a\n' * 3, "2025-01-01T00:00," + "9" * 200_000, "2025-01-01T00:00,1_000"])
def test_what_is_no_csv_or_no_plain_number_is_refused_with_its_line(tmp_path, text):
    told = faults(write(tmp_path / "odd.csv", [text]))
    assert all(f"{tmp_path}/odd.csv:" in fault for fault in told)


def test_hours_that_no_grid_has_are_doubted_with_their_lines(tmp_path):
    lines = rows()
    lines[3], lines[7] = "2025-01-01T03:00,0.331", "2025-01-01T07:00,2001"
    doubt = read_hours(write(tmp_path / "kg.csv", lines)).doubt
    assert doubt == (
        "2 of 24 hours lie outside 1 to 2000 g/kWh (0.331 in line 5, 2001 in line 9): were other units meant?"
    )
    assert read_hours(write(tmp_path / "fine.csv", rows())).doubt is None


def test_a_period_without_a_time_zone_is_refused():
    with pytest.raises(MeteringError, match="2025-01-01T05:00:00: has no time zone"):
        DAY.over(datetime(2025, 1, 1, 5), 60)
