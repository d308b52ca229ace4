"""No page says two things: a quantity has one value in titles, alt texts, sentences and cards.

What a page says is read from the executed notebook: each line is a figure's title, its alt text, a
sentence, or one number of a claim's record ("C026 MSE after 1 step: 0.681"). A quantity is a list
of patterns, each with the number in brackets. Each must be found, and all numbers that are found
must be roundings of one value.
"""

import re
from html import unescape
from itertools import combinations
from typing import NamedTuple

import nbformat
import pytest

from mamlkit.book import notebooks as book

N = r"([-−+]?[\d,]*\.?\d+(?: ?%)?)"  # a number as the book prints it
CARD = re.compile(r"<div><b>(\w+)</b> <i>.*?</div><div><b>(.*?)</b>\. (.*?)</div>(.*?)</details>")
ROW = re.compile(r"<tr><td style='text-align:left'>(.*?)</td><td>.*?</td><td>(.*?)</td></tr>")

QUANTITIES: dict[str, dict[str, list[str]]] = {
    "01_sinusoids": {
        "MAML's error after one step": [
            rf"MAML's error goes from [\d.]+ to {N}",
            rf"does what the paper says: from [\d.]+ to {N}",
            rf"C026: after 1, 5 and 10 steps the mean error is {N}",
            rf"C029: .* take the mean from {N} to",
            rf"C0(?:26|29) MSE after 1 step: {N}",
        ],
        "MAML's error after five steps": [
            rf"after five MAML's mean error is {N}",
            rf"C0(?:26|29) MSE after 5 steps: {N}",
        ],
        "MAML's error after ten steps": [
            rf"C029: .* from [\d.]+ to {N}, with",
            rf"C0(?:26|29) MSE after 10 steps: {N}",
        ],
        "the pretrained network's error after one step": [
            rf"the pretrained network's to {N}",
            rf"(?:C031|S104) MSE after 1 step: {N}",
        ],
        "runs that diverge in ten steps": [
            rf"Of MAML's runs at K = 5, {N} do not",
            rf"but {N} of the runs end above",
            rf"C029: .*; {N} of the runs diverge",
            rf"C0(?:26|03|29) diverged within 10 steps: {N}",
        ],
        "runs that diverge in a hundred steps": [
            rf"{N} of the runs blow up in a hundred steps",
            rf"to a hundred, {N} in the end",
            rf"C024 diverged, K=5: {N}",
        ],
        "waves that ten steps improve": [
            rf"Ten steps fit {N} of the waves better",
            rf"C029: ten steps improve {N} of the waves",
            rf"C029 waves that ten steps fit better than one: {N}",
        ],
        "the median error after ten steps": [
            rf"the median error falls from [\d.]+ to {N}",
            rf"C026 median after 1, 5 and 10 steps: [\d.]+, [\d.]+, {N}",
        ],
        "diverged runs that lay below the edge": [
            r"after one step (none|\d+) of them lay below",
            r"others; (\d+) of the former lie below",
            r"X007: .* and (\d+) of \d+ lie below",
            r"X007 diverged runs below 2 / alpha after step 1: (\d+) of",
        ],
        "diverged runs of the page on blow-ups": [
            r"(\d+) of [\d,]+ runs diverge",
            r"X007 diverged runs below 2 / alpha after step 1: \d+ of (\d+)",
        ],
        "the median with alpha limited": [
            rf"After ten steps the median error is {N} instead",
            rf"X007 the same, alpha limited: [\d.]+, {N}",
        ],
        "the mean with alpha limited": [
            rf"of the runs that do not diverge {N} instead",
            rf"X007: .* and the mean after ten steps is {N} instead",
            rf"X007 the same, alpha limited: {N},",
        ],
        "the half without points": [
            rf"On the other half MAML's median error ends at {N}",
            rf"without points falls from [\d.]+ to {N}",
            rf"C032: .* goes from [\d.]+ to {N}",
            rf"C032 after 10 steps: {N}",
        ],
        "beyond the range": [
            rf"beyond −5 and 5 it is {N}",
            rf"and the median wave's error is {N}\. It",
            rf"C033: .* the median wave's error is {N}",
            rf"C033 median MSE on 5 < \|x\| < 10 after 10 steps, K=10: {N}",
        ],
        "how near pretraining is to the mean": [rf"to within {N}", rf"It does, to {N} \(root"],
        "the kernel's alignment": [
            rf"points at the waves: alignment {N}",
            rf"X001 alignment, maml: {N}",
        ],
        "your loss in the end": [rf"your loss is {N}", rf"over the banked run's: {N} after"],
    },
    "02_classification": {
        "5-way 1-shot by the paper's protocol": [
            rf"Omniglot, 5-way 1-shot: {N} here",
            rf"by column of Table 1, .*?5-way 1-shot, MAML: {N}",
            rf"The paper's protocol is the kindest: {N}",
            rf"The same network: {N} or",
            rf"After three steps: together, 1 a class {N}",
            rf"C050: {N} by the paper's protocol",
            rf"C050 accuracy, 5-way 1-shot: {N}",
        ],
        "the paper's 5-way 1-shot": [
            rf"5-way 1-shot: [\d.]+ % here, {N} in the paper",
            rf"where the paper has {N} ±",
        ],
        "75 queries together": [
            rf"with five queries in the batch, {N} with 75",
            rf"together, 15 a class {N}",
            rf"C050: .*; {N} with 15 queries a class",
            rf"C050 15 queries a class: {N}",
        ],
        "by the support's statistics": [rf"with 75, and {N} when", rf"support's statistics {N},"],
        "the last layer alone": [rf"last layer {N}, all but", rf"The last layer alone reaches {N}"],
        "points that the last layer alone loses": [
            rf"The last layer alone loses {N} points",
            rf"it loses {N} points",
            rf"C009: adapting the last layer alone, .* loses {N} points \(queries",
            rf"C009 points lost by the last layer alone, together: {N}",
        ],
        "all but the last layer": [rf"all but last {N}", rf"without the last layer reach {N}"],
        "the linearised step": [
            rf"its linearisation {N}: a difference",
            rf"X004: .*, {N} after its linearisation",
            rf"X004 after the linearised step: {N}",
        ],
        "the empty last layer": [rf"last layer emptied {N}", rf"three steps reach {N}"],
    },
    "03_first_order": {
        "second order, many queries": [
            rf"MAML is right on {N} of the queries",
            rf"15 queries a class, together: {N} and",
        ],
        "second order, the first 600 tasks": [
            r"second order ([\d.]+ %)$",
            rf"C071: .*second order {N}: first",
            rf"C071 second order: {N}",
        ],
        "first order, many queries": [
            rf"first order on {N}: a difference",
            rf"15 queries a class, together: [\d.]+ and {N}",
        ],
        "first order, trained as joint training was": [
            rf"first order {N}, second order",
            rf"C071 first order: {N}",
        ],
        "what is left out at the start": [
            rf"leave out [\d.]+ to {N} times",
            rf"falls from {N} to",
            rf"of the {N} would remain",
            rf"Left out over kept: {N} at first",
            rf"in the paper's network {N}, ",
            rf"C072 convolutions, batch norm, ReLU, start and end: {N}",
        ],
        "what is left out at the start, with N times the step": [
            rf"is {N} times as long as the part that is used",
            rf"C072 with the authors' step, 5 alpha: {N}",
        ],
        "what is left out after a hundred updates": [
            rf"falls from [\d.]+ to {N} times",
            rf"C072 convolutions, batch norm, ReLU, start and end: [\d.]+, {N}",
        ],
        "what is left out after training": [
            rf"after 20,000 it is still {N} times",
            rf"of the {N} comes from the loss",
            rf"C072 in the trained network: {N}",
        ],
        "what would remain in a linear network": [
            rf"Even in a linear network {N} of",
            rf"C072 convolutions, ReLU, start: by the loss's curvature alone: {N}",
        ],
        "the cosine at first": [
            rf"Their cosine is {N} at first",
            rf"C072 cosine of the two gradients: {N}",
        ],
        "the paper's third": [rf"where we count {N}\.", r"C073 saved: ([\d.]+)"],
        "most operations saved": [
            rf"First order saves \d+ to {N} of operations",
            rf"saves more: up to {N} with",
            rf"C073: .*, \d+ to {N} over Table 1",
        ],
        "half to twice the step": [
            rf"twice that step cost {N} points at most",
            rf"S218: .* ranges over {N} points",
            rf"S218 range over 1/2 to 2, points: {N}",
        ],
    },
    "04_navigation": {
        "the return before any update": [
            rf"takes the mean return from {N} to",
            rf"after 0 to 4 updates: MAML {N},",
            rf"C100: one update takes MAML from {N} to",
            rf"C100 return before: {N}",
        ],
        "the return after one update": [
            rf"takes the mean return from \S+ to {N}\.",
            rf"One update: MAML {N}, pretrained",
            rf"after 0 to 4 updates: MAML \S+, {N},",
            rf"Five numbers return \S+ after one update, MAML {N}",
            rf"C100: one update takes MAML from \S+ to {N},",
            rf"C134: .* here 0.1 returns {N} after one update",
            rf"C100 return after 1 update: {N}",
        ],
        "the pretrained policy after one update": [
            rf"One update: MAML \S+, pretrained {N};",
            rf"pretrained \S+, {N}, .*random",
            rf"C100 return, pretrained after 1 update: {N}",
        ],
        "the return after four updates": [
            rf"after four {N} and",
            rf"After four updates ours returns {N},",
            rf"C101 return after 4 updates: {N}",
        ],
        "standing still": [
            rf"Standing still returns {N} on",
            rf"C104: .* standing still returns {N} with it",
        ],
        "a memory's third walk": [
            rf"A memory's third walk returns {N};",
            rf"in its first walk to {N} in its third",
            rf"X021 RL\^2's return in episode 3: {N}",
        ],
        "a memory's third walk over a step": [
            rf"Already the third walk is {N} \(",
            rf"X021 RL\^2 in episode 3 minus MAML: {N}",
        ],
        "a memory's last walk over a step": [
            rf"the twenty-first, {N} \(",
            rf"X021: .* in episode 21 it is {N} \(",
            rf"X021 RL\^2 in episode 21 minus MAML: {N}",
        ],
        "new walks": [
            rf"After two steps the return is {N} where",
            rf"C020 return after 2 updates, new walks: {N}",
        ],
        "old walks": [
            rf"{N} where it used the first step's again",
            rf"C020: .* walks again returns {N} instead",
            rf"C020 the same walks again: {N}",
        ],
        "five numbers": [
            rf"Five numbers return {N} after one update",
            rf"C140 return after 1 update: {N}",
        ],
        "the error of the meta-gradient": [
            rf"the meta-gradient is off by {N}, however",
            rf"with the logarithm from {N} to",
        ],
        "half steps": [
            rf"Half steps return {N} more",
            rf"the half steps return {N} \(",
            rf"changes the return of updates 2 to 4 by {N} \(",
        ],
        "what the layers below the last gain": [
            rf"the layers below it {N}$",
            rf"layers below {N};",
            rf"alone the layers below gain {N} of",
        ],
    },
    "05_locomotion": {
        "the gain in direction": [
            rf"One step from MAML's start gains {N} \(direction\)",
            rf"In direction one step adds {N} from",
            rf"Five numbers gain \d+ by one step, all parameters {N}",
            rf"X013: .* a gain of {N} \[",
            rf"X013 gain of one step, cheetah direction: {N}",
            rf"C141 gain of 1 step, all parameters: {N}",
        ],
        "the gain in direction, largest": [
            rf"one step gains {N} in direction",
            rf"C107: one step gains cheetah direction {N},",
            rf"C107 gain of one step, cheetah direction: {N}",
        ],
        "the gain in velocity": [
            rf"\(direction\) and {N} \(velocity\)",
            rf"In velocity it adds {N} from",
            rf"(?:C107|X014) gain of one step, cheetah velocity: {N}",
        ],
        "the return after one step in direction": [
            rf"one step takes the return from -\d+ to {N}\.",
            rf"MAML goes from -\d+ to {N} by one step; cheetah velocity",
            rf"X013: one step takes the return from \S+ to {N},",
        ],
        "five numbers": [
            rf"Five numbers gain {N} by one step",
            rf"C141: one step on five numbers gains {N} \[",
            rf"C141 gain of 1 step, context: {N}",
        ],
        "five tries": [
            rf"Five tries give {N} of the gain; TRPO",
            rf"On five tries the step is worth {N} of",
            rf"S213: .*, {N} of what it gains on 20",
            rf"S213 5 of 20: {N}",
        ],
        "tries of TRPO alone": [
            rf"is not there after {N}$",
            rf"does not come near in {N} tries",
            rf"C120: .* needs over {N} episodes where forward",
        ],
        "tries in meta-training": [
            rf"in meta-training: {N} thousand tries",
            rf"C120: .*, after {N} thousand",
            rf"C120 episodes in meta-training, thousands: {N}",
        ],
    },
    "06_variants": {
        "MAML's error, searched": [
            rf"with CAVIA and {N} with MAML",
            rf"\| MAML \| 1 × 0.03 \| 10 \| {N} \|",
        ],
        "MAML's error, usual settings": [
            rf"but MAML's rises from {N}:",
            rf"\| MAML \| 1 × 0.03 \| 10 \| [\d.]+ \| {N} \|",
        ],
        "CAVIA's error, searched": [
            rf"new waves is {N} with CAVIA",
            rf"\| CAVIA \| 1 × 0.1 \| 10 \| {N} \|",
        ],
        "MAML's error on waves": [
            rf"at K = 10, one step: MAML {N},",
            rf"\| MAML \| 1 × 0.01 \| {N} \|",
            rf"X061 median error after 1 step, K=10, MAML: {N}",
        ],
        "CAVIA's error on waves": [
            rf"one step: MAML .*? CAVIA {N}; ten steps",
            rf"\| CAVIA \| 1 × 1 \| {N} \|",
        ],
        "CAVIA's cosine": [
            rf"its cosine to MAML's meta-gradient {N}",
            rf"Cosine .* CAVIA {N}\. Error",
        ],
        "MAML on characters": [rf"%, MAML to {N}", rf"mean of the seeds: MAML {N},"],
        "iMAML on characters": [rf"bring iMAML to {N},", rf"MAML\+\+ [\d.]+ %, iMAML {N}, ANIL"],
        "ANIL on characters": [r"ANIL ([\d.]+ %), CAVIA", rf"last: ANIL with {N} and"],
        "CAVIA on characters": [r"CAVIA ([\d.]+ %)\.$", rf"and CAVIA with {N}\. Where"],
        "memory of one step": [
            rf"grows from {N} to \d+ MiB",
            rf"Memory and time over inner steps\. MAML: {N} to",
        ],
        "memory for each step": [
            rf"Memory grows by {N} MiB a step",
            rf"S210: .* Memory: {N} MiB a step",
            rf"S210 MAML, MiB a step: {N}",
        ],
        "alpha in training": [
            rf"MAML's error varies {N} times",
            rf"X062: .* varies [\d.]+ and {N} times with alpha fixed",
        ],
        "all parts of MAML++": [
            rf"all parts together are worth {N} points",
            rf"S209: .* all parts together are {N} points",
            rf"S209 all parts minus none: {N}",
        ],
    },
    "07_scoreboard": {
        "claims that hold": [r"claims: (\d+) hold", r"coloured by verdict: .*?(\d+) reproduced"],
        "claims that are false": [r"hold, (\d+) are false as stated", r"(\d+) refuted as stated,"],
        "claims that are open": [r"stated, (\d+) are still open", r"(\d+) not tested"],
    },
}


class Said(NamedTuple):
    """A number as it was printed: its value and half a unit of its last digit."""

    words: str
    value: float
    half: float


def number(words: str) -> Said:
    plain = words.replace("−", "-").replace(",", "").replace("none", "0")
    digits, percent, _ = plain.partition("%")
    places = len(digits.strip().partition(".")[2])
    scale = 100 if percent else 1
    return Said(words, float(digits) / scale, 0.5 * 10**-places / scale)


def agree(a: Said, b: Said) -> bool:
    """Can both be roundings of one value? A number without its percent sign may be a share or
    percent; a loss may be said without its sign."""
    unsaid = ("%" in a.words) != ("%" in b.words)
    percent = 0.01 if "%" in a.words else 100
    return any(
        abs(abs(a.value) - abs(b.value) * by) <= (a.half + b.half * by) * 1.0001
        for by in (1, percent)[: 1 + unsaid]
    )


def lines(notebook) -> list[str]:
    """What the page says: a line for each title, alt text, sentence, card and number of a card."""
    found = []
    for output in (o for cell in notebook.cells for o in cell.get("outputs", ())):
        data, about = output.get("data", {}), output.get("metadata", {}).get("image/png", {})
        found += [about[k] for k in ("title", "alt") if k in about]
        found += [data.get("text/markdown", "").replace("*", "")]
        for name, verdict, why, rest in CARD.findall(data.get("text/html", "")):
            found += [f"{name}: {why}", f"{name} says {verdict}"]
            found += [f"{name} {what}: {here}" for what, here in ROW.findall(rest) if here]
    return [" ".join(unescape(line).split()) for line in found]


def contradictions(said: list[str], patterns: list[str]) -> list[str]:
    """What is wrong with one quantity: a pattern that finds nothing, two numbers that differ."""
    found = {p: [number(n) for line in said for n in re.findall(p, line)] for p in patterns}
    wrong = [f"nothing says {p}" for p, numbers in found.items() if not numbers]
    pairs = combinations([n for numbers in found.values() for n in numbers], 2)
    return wrong + [f"{a.words} and {b.words}" for a, b in pairs if not agree(a, b)]


PAGES = pytest.mark.parametrize("stem", QUANTITIES)


def page(stem):
    path = book.NOTEBOOKS / f"{stem}.ipynb"
    if not path.exists():
        pytest.skip(f"there is no {path.name}; the test of its source fails")
    return nbformat.read(path, 4)


@PAGES
def test_no_page_says_two_things(stem):
    said = lines(page(stem))
    found = {name: contradictions(said, patterns) for name, patterns in QUANTITIES[stem].items()}
    assert not {name: wrong for name, wrong in found.items() if wrong}


@PAGES
def test_a_contradiction_is_found(stem):
    """Each place that gives a number is given another one, and then it is found."""
    said = lines(page(stem))
    for name, patterns in QUANTITIES[stem].items():
        for pattern in patterns:
            where, match = next((i, m) for i, x in enumerate(said) if (m := re.search(pattern, x)))
            planted = "7" if match[1] == "none" else re.sub(r"\d", _another, match[1], count=1)
            line = said[where][: match.start(1)] + planted + said[where][match.end(1) :]
            changed = [*said[:where], line, *said[where + 1 :]]
            assert contradictions(changed, patterns), f"{name}: {planted} for {match[1]}"


def _another(digit) -> str:
    return str((int(digit[0]) + 4) % 9 + 1)


def test_roundings_of_one_value_agree_and_others_do_not():
    for a, b in [("0.68", "0.681"), ("0.30%", "0.00298"), ("+8.1", "8.07"), ("66", "66.47")]:
        assert agree(number(a), number(b)) and agree(number(b), number(a))
    for a, b in [("0.68", "0.65"), ("0.30%", "0.0033"), ("59 %", "57.9 %"), ("-39", "-40.1")]:
        assert not agree(number(a), number(b))
