from xml.etree import ElementTree as ET

from greenpose.check import Verdict
from greenpose.check.output import to_junit
from tests.check.candidates import finding, mixed


def cases(verdict):
    root = ET.fromstring(to_junit(verdict, "quick"))  # noqa: S314 - our own text
    return root, {f"{case.get('classname')}.{case.get('name')}": case for case in root.iter("testcase")}


def state(case):
    return next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), "passed")


def test_each_quantity_is_a_case_and_only_a_regression_that_counts_fails():
    _, found = cases(mixed())
    assert {name: state(case) for name, case in found.items()} == {
        "quick.exit2.params": "passed",
        "quick.exit3.macs": "failure",
        "quick.exit3.operations": "failure",
        "quick.exit4.macs": "passed",
        "quick.exit4.peak_bytes": "skipped",
        "quick.exit3.ap": "skipped",
        "quick.final.energy_j_per_image budget": "passed",
        "quick.exit3.cpu_s_per_image": "passed",
    }


def test_the_counts_are_those_of_the_cases():
    root, found = cases(mixed())
    for element in (root, root.find("testsuite")):
        assert {key: int(element.get(key)) for key in ("tests", "failures", "errors", "skipped")} == {
            "tests": len(found),
            "failures": 2,
            "errors": 0,
            "skipped": 2,
        }


def test_a_failure_says_what_is_so_and_what_to_do():
    _, found = cases(mixed())
    failure = found["quick.exit3.operations"].find("failure")
    assert failure.get("message").startswith("operators are called otherwise: <conv> & co")
    assert "--update" in failure.get("message")
    assert "86\u00a0calls" in failure.text


def test_characters_that_xml_cannot_hold_are_written_out():
    wild = Verdict(
        subject="a",
        against="b",
        findings=(finding(metric="m\ufffe", says="a\x00b\x1b[31m", file="\udc80\uffff"),),
        notes=("c\x07d", "e"),
    )
    root, found = cases(wild)
    (case,) = found.values()
    assert (case.get("name"), case.get("file")) == (r"m\ufffe", r"\udc80\uffff")
    assert case.find("failure").get("message").startswith(r"a\x00b\x1b[31m")
    assert root.find("testsuite/system-out").text == "c\\x07d\ne"
