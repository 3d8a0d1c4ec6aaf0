from greenpose.check import Verdict
from greenpose.check.output import annotations
from tests.check.candidates import finding, mixed


def read(text: str) -> list[dict[str, str]]:
    """Return the commands as GitHub's runner reads them: split at `::`, `,` and `=`, then unescaped."""
    commands = []
    for line in text.splitlines():
        _, head, message = line.split("::", 2)
        level, _, properties = head.partition(" ")
        pairs = dict(pair.split("=", 1) for pair in properties.split(","))
        commands.append(
            {"level": level, "message": unescaped(message)}
            | {key: unescaped(value.replace("%3A", ":").replace("%2C", ",")) for key, value in pairs.items()}
        )
    return commands


def unescaped(text: str) -> str:
    return text.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%")


def test_every_finding_that_is_not_ok_is_one_annotation_at_its_line():
    commands = read(annotations(mixed(), "quick"))
    assert [(one["level"], one["file"], one["line"]) for one in commands] == [
        ("error", "greenpose-baseline.json", "12"),
        ("error", "greenpose-baseline.json", "14"),
        ("warning", "budgets.yaml", "3"),
        ("warning", "greenpose-baseline.json", "7"),
        ("warning", "greenpose-baseline.json", "5"),
        ("notice", "greenpose-baseline.json", "20"),
    ]


def test_what_would_end_a_command_or_a_property_comes_through():
    wild = finding(says="5 %0A more, a::b\r\nc", file="a,b:c%2C.json")
    (command,) = read(annotations(Verdict(subject="a", against="b", findings=(wild,)), "x"))
    assert command["message"].startswith("exit3.macs: 5 %0A more, a::b\r\nc")
    assert command["file"] == "a,b:c%2C.json"
    assert command["title"] == "GreenPose x: exit3.macs regressed"


def test_a_finding_without_a_file_has_no_place():
    (command,) = read(annotations(Verdict(subject="a", against="b", findings=(finding(file=None, line=None),)), "x"))
    assert command.keys() == {"level", "message", "title"}


def test_what_github_would_drop_is_counted_in_the_last_annotation():
    many = tuple(finding("exit3", f"m{k}") for k in range(25))
    commands = read(annotations(Verdict(subject="a", against="b", findings=many), "x"))
    assert len(commands) == 10
    assert commands[-1]["message"].startswith("and 16 more")


def test_nothing_is_said_where_all_is_ok():
    assert annotations(Verdict(subject="a", against="b", findings=(finding(outcome="ok"),)), "x") == ""
