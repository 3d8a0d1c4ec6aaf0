"""The terms of the page: what each means, explained at its first use."""

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from greenpose.metrics import AP
from greenpose.report.study import Study

GLOSSARY = {
    "AP": "Average precision: how well predicted keypoints match the labels, over ten OKS thresholds from .50 to .95; "
    "100 % is perfect.",
    "AR": "Average recall: the share of people whose keypoints are found, over the same ten thresholds.",
    "OKS": "Object keypoint similarity: 1 where predicted and labelled keypoints coincide, falling with their distance "
    "in units of the person’s size.",
    "PCK": "Percentage of correct keypoints: those that lie within a share of the person’s size from the label.",
    "CO2eq": "Carbon dioxide equivalent: all greenhouse gases, by how much CO2 warms as much over 100 years.",
    "exit": "A place after a stage of the network where it can stop and answer; deeper exits cost more.",
    "front": "The Pareto front: exits that no other beats in both accuracy and cost.",
    "floor": "The AP below which no exit is recommended, whatever it saves.",
    "grade": "How energy was obtained: A by counters, B in part, C by a model of the CPU.",
    "margin": "The points of AP that a cheaper exit may lose and still be recommended.",
    "MACs": "Multiply-accumulates: one multiplication with its addition, counted as two floating-point operations.",
    "OKD": "Online knowledge distillation: deeper exits teach shallower ones while all are trained together.",
    "MSOKD": "OKD in which the last exit teaches several shallower ones.",
    "COKD": "OKD in a chain: each exit teaches the one before it.",
    "DS": "Deep supervision: every exit learns from the labels too, not only the last one.",
    "PUE": "Power usage effectiveness: energy of the building over energy of its computers; 1 is none beyond them.",
    "SCI": "Software carbon intensity (ISO/IEC 21031): emissions of energy and of making the machine, for each image.",
    "student": "An exit that learns from a deeper one, its teacher, besides the labels.",
    "truly": "Between these ends lies the true number, as far as the method itself is known. More runs do not narrow "
    "it, and 95 % intervals do not hold it.",
    "repetition": "Seeds, test subjects and blocks of calls: a 95 % interval is what they leave open.",
    "seed": "A training of its own, from other random numbers: seeds show what is chance.",
}
"""What each term means; of a name such as HRNet4-OKD-DS its parts."""


OF_POSE = ("AP", "AR", "OKS", "PCK", "OKD", "MSOKD", "COKD", "DS", "student")
"""Terms that only records of pose use."""


def glossary_of(study: Study) -> dict[str, str]:
    """Return the terms of a page: where runs are judged by something else than AP, none of pose."""
    metric = study.accuracy
    if metric is AP and not any(run.own for run in study.records):
        return GLOSSARY
    other = {
        "floor": f"What an exit must reach of {metric.words} to be recommended, whatever it saves.",
        "margin": f"By how much {metric.words} of a cheaper exit may be worse, so that it is still recommended.",
        "exit": "A place in the network where it can stop and answer; deeper exits cost more.",
    }
    return {term: other.get(term, words) for term, words in GLOSSARY.items() if term not in OF_POSE}


@dataclass(slots=True)
class Terms:
    """The terms of one page, each of which is explained at its first use."""

    left: dict[str, str] = field(default_factory=lambda: dict(GLOSSARY))
    """Terms that the page has not used so far."""

    def explain(self, text: str) -> str:
        """Return text as markup, in which each term that comes up for the first time shows what it means.

        It does so under the pointer, with the focus of the keyboard, and when it is tapped; nothing else is markup.
        """
        found: list[str] = []
        for part in _words(text):
            said = self._said(part)
            shown = html.escape(part, quote=False)
            tip = f'<span class="tip" role="note">{html.escape(said, quote=False)}</span>' if said else ""
            found.append(f'<span class="term" tabindex="0">{shown}{tip}</span>' if said else shown)
        return "".join(found)

    def _said(self, word: str) -> str | None:
        """Return what a word means that comes up for the first time; of a name, what its parts do."""
        if "-" in word:
            parts = [(part, self.left.pop(part, "")) for part in word.split("-")]
            return " ".join(f"{part}: {said}" for part, said in parts if said) or None
        return self.left.pop(word.removesuffix("s") if word not in self.left else word, None)


def _words(text: str) -> Iterable[str]:
    """Return the text in pieces: words and names of networks that stand alone, and what lies between them."""
    return re.split(r"(?<![\w-])(HRNet\d(?:-\w+)+|[A-Za-z]+)(?![\w-])", text)
