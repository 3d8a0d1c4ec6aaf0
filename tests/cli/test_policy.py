import io
import re

import pytest
from rich.console import Console

from greenpose.cli.policy import print_policy
from tests.report.policies import policy_of
from tests.report.records import record

RUN = record("HRNet4-COKD-DS")


def printed(curve, *, verbose=False):
    console = Console(width=120, file=io.StringIO(), highlight=False)
    print_policy(curve, console, verbose=verbose)
    return console.file.getvalue().replace("\u00a0", " ")


def test_every_exit_and_the_chosen_thresholds_have_their_line():
    text = printed(policy_of(RUN))
    lines = text.splitlines()
    assert [line.split("  ")[0] for line in lines[5:8]] == ["exit 2", "exit 3", "exit 4"]
    (chosen,) = [line for line in lines if line.startswith("→ 2 ≥ 0.60 ")]
    assert "20 / 0 / 80" in chosen
    assert re.search(r"≈\u202f1.08 ±0.04", chosen)
    assert max(map(len, lines)) <= 120


def test_the_notes_say_what_was_chosen_and_how_far_it_can_be_trusted():
    text = " ".join(printed(policy_of(RUN)).split())
    for words in (
        "exit 2 from 0.600 on and exit 3 never: the cheapest with an AP of 93.0 % on the validation split",
        "on 96 images of 8 patients; the best of many settings there, so that its AP flatters",
        "on 192 images of 12 patients; 95 % intervals over patients",
        "all are of one epoch",
        "on 32 test images in batches it took",
        "grade C",
        "systematic error",
    ):
        assert words in text


@pytest.mark.parametrize("verbose", [False, True])
def test_of_many_choices_some_are_shown_and_all_to_those_who_ask(verbose):
    text = printed(policy_of(RUN, steps=30), verbose=verbose)
    assert text.count("\n2 ≥ 0.") == (29 if verbose else 8)
    assert text.count("\n→ 2 ≥ 0.") == 1


def test_energy_that_was_not_measured_is_said_to_be_so():
    text = printed(policy_of(RUN, metered=False))
    assert "not measured" in text
    assert "grade" not in text
