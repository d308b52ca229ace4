"""Values that nobody should give: parameters on the command line, and the API of families and
environments. Each is taken where it is good, and refused in one sentence that names it where
not."""

import math
import random
import re

import numpy as np
import pytest
import torch

gymnasium = pytest.importorskip("gymnasium")
from mamlkit import __main__ as command  # noqa: E402
from mamlkit.book import headless, sweep  # noqa: E402
from mamlkit.book.notebooks import find, notebooks  # noqa: E402
from mamlkit.book.parameters import check, parameters  # noqa: E402
from mamlkit.families import glyphs  # noqa: E402
from mamlkit.families.few_shot import few_shot  # noqa: E402
from mamlkit.rl import gym  # noqa: E402
from tests.fuzz.rule import answer, count, odd  # noqa: E402
from tests.small_notebooks import GOOD, OTHER, write  # noqa: E402

LETTERS = [
    "0",
    "1",
    "9",
    "-",
    "+",
    ".",
    "e",
    "_",
    " ",
    "n",
    "a",
    "i",
    "f",
    "x",
    "é",
    "٣",
    "\t",
    "'",
]
WORDS = ["0", "1", "7", "-1", "1e3", "0.5", "inf", "nan", "true", "quick", "cpu", "auto", "cuda:99"]
WORDS += ["", " ", "0x10", "1_000", "9" * 30, "1e400", "-0", "None", "[1]", "smoke,quick", "1;2"]


def word(rng):
    """A value as somebody may type it."""
    if rng.random() < 0.5:
        return rng.choice(WORDS)
    return "".join(rng.choice(LETTERS) for _ in range(rng.randrange(1, 7)))


def number(kind, text):
    """The finite number that a word says, None if it says none."""
    try:
        value = kind(text)
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


GOOD_WORDS = {
    "seed": lambda t: (n := number(int, t)) is not None and 0 <= n < 2**63,
    "shots": lambda t: (n := number(int, t)) is not None and 1 <= n <= 1000,
    "alpha": lambda t: (n := number(float, t)) is not None and n > 0,
    "profile": lambda t: t in ("smoke", "quick", "paper"),
    "device": lambda t: t in ("auto", "cpu") or t.startswith("cuda") and torch.cuda.is_available(),
    "live": lambda t: t.lower() in ("true", "false"),
}


def test_parameters(tmp_path):
    known = parameters(write(tmp_path, _00_good=GOOD) / "00_good.py")
    rng = random.Random(0)
    for _ in range(count(400)):
        name, text = rng.choice([*GOOD_WORDS, "sed", ""]), word(rng)
        kind, told = answer(
            lambda: check("00_good", known, {name: text}), f"{name}=", f'"{name}"', f'"{text}"'
        )
        good = name in GOOD_WORDS and GOOD_WORDS[name](text)
        assert kind == ("taken" if good else "refused"), (name, text, told)


@pytest.fixture
def stubs(monkeypatch, tmp_path):
    """Nothing runs: what would have run is noted."""
    ran = []
    monkeypatch.setattr(
        headless, "run", lambda paths, values, out, command: ran.append(values) or []
    )
    monkeypatch.setattr(
        sweep, "sweep", lambda path, known, points, *_, **__: ran.append(points) or []
    )
    monkeypatch.setattr(sweep, "table", lambda rows: "")
    monkeypatch.setattr(command, "RUNS", tmp_path / "runs")
    return ran


def test_words_of_run(tmp_path, stubs, capsys):
    """In one sentence or in argparse's two lines, and nothing has run; or it runs, with checked
    values."""
    folder, rng = write(tmp_path / "book", _00_good=GOOD, _01_other=OTHER), random.Random(1)
    (tmp_path / "file").write_text("")
    outs = [tmp_path / "file", tmp_path / "file" / "x", tmp_path / "new", folder, "/proc/1/x"]
    for _ in range(count(300)):
        words = [rng.choice(["0", "00", "01_other", "7", "good", ".", "-x", "00_good.ipynb", "é"])]
        pair = lambda: f"{rng.choice(['seed', 'alpha', 'ways', 'sed', ''])}={word(rng)}"
        words += ["-p", pair()] if rng.random() < 0.5 else []
        words += ["--grid", pair() + rng.choice([",1", ",,", ""])] if rng.random() < 0.4 else []
        words += ["--out", str(rng.choice(outs))] if rng.random() < 0.3 else []
        words += rng.choice([[], [], ["--fast"], ["--list"], ["--", "--x"], ["-p"]])
        stubs.clear()
        try:
            status = command.main(["run", "--folder", str(folder), *words])
        except SystemExit as end:
            status = end.code
        said = capsys.readouterr()
        assert "Traceback" not in said.err, words
        if status == 2:
            lines = said.err.splitlines()
            by_us, by_argparse = (
                re.fullmatch(r"mamlkit: .+", said.err.strip()),
                "usage:" in lines[0],
            )
            assert by_us or by_argparse and len(lines) <= 8, (words, said.err)
            assert not stubs, words
        else:
            assert status == 0 and (stubs or "--list" in words), (words, status, said.err)


def test_names_of_notebooks(tmp_path):
    folder, rng = write(tmp_path, _00_good=GOOD, _01_other=OTHER), random.Random(2)
    for _ in range(count(150)):
        name = word(rng)
        kind, told = answer(lambda: find([name], folder), f'"{name}"')
        assert kind == "refused" or kind == "taken" and set(told) <= set(notebooks(folder)), told


IMAGES = torch.randint(0, 256, (6, 9, 1, 4, 4), generator=torch.Generator().manual_seed(0))
IMAGES = IMAGES.to(torch.uint8)


def whole(value, low, high):
    return type(value) is int and low <= value <= high


def test_numbers_of_families():
    rng = random.Random(3)
    good = {"way": 6, "shots": 8, "queries": 8}
    for _ in range(count(200)):
        name, value = rng.choice([*good]), odd(rng)
        settings = {"way": 2, "shots": 1, "queries": 1} | {name: value}
        kind, told = answer(lambda: few_shot(IMAGES, **settings), f"{name} is ")
        assert kind == ("taken" if whole(value, 1, good[name]) else "refused"), (name, value, told)
    for _ in range(count(100)):
        name, value = rng.choice(["classes", "seed", "size", "examples"]), odd(rng)
        if whole(value, 100, 2**63):  # too many to draw here
            continue
        settings = {"classes": 1, "seed": 0, "size": 8, "examples": 1} | {name: value}
        least = {"size": 8, "seed": 0}.get(name, 1)
        kind, told = answer(lambda: glyphs.load(**settings), f"{name} is ")
        assert kind == ("taken" if whole(value, least, 99) else "refused"), (name, value, told)
    for _ in range(count(60)):
        kind, told = answer(lambda: few_shot(odd(rng), way=1, shots=1, queries=1), "the images are")
        assert kind == "refused", told
        value = odd(rng)
        kind, told = answer(lambda: few_shot(IMAGES, way=1, shots=1, queries=1, rotate=value))
        assert kind == ("taken" if isinstance(value, bool) else "refused"), (value, told)


RESET = (gymnasium.error.ResetNeeded,)
LIMITS = [0.0, 1.0, -1.0, 1.0000001, -2.0, 1e-300, math.nan, math.inf, -math.inf]


def action(rng, shape):
    """An action, most often with something wrong."""
    value = rng.choice(
        [
            lambda: np.array([rng.choice(LIMITS) for _ in range(math.prod(shape))]).reshape(shape),
            lambda: np.zeros(rng.choice([(), (1,), shape[::-1], (1, *shape), (*shape, 1), (0,)])),
            lambda: np.zeros(shape, rng.choice(["f2", "i1", "u8", "?", "c8", "O", "U3", "f8"])),
            lambda: np.zeros(shape).tolist(),
            lambda: torch.zeros(shape, requires_grad=rng.random() < 0.5),
            lambda: odd(rng),
        ]
    )()
    return value


def good_action(value, shape):
    if isinstance(value, torch.Tensor) and value.requires_grad:
        return False
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        return False
    inside = array.dtype.kind in "fiu" and array.shape == shape and np.isfinite(array).all()
    return bool(inside and (np.abs(array.astype(float)) <= 1).all())


@pytest.mark.parametrize("name", ["mamlkit/Navigation2D-v0", "mamlkit/HalfCheetahDir-v0"])
def test_actions(name):
    rng = random.Random(name)
    for env in (gymnasium.make(name).unwrapped, gymnasium.make_vec(name, num_envs=3)):
        assert (
            answer(lambda: env.step(np.zeros(env.action_space.shape)), "reset", also=RESET)[0]
            == "refused"
        )
        env.reset(seed=0)
        for _ in range(count(150)):
            value = action(rng, env.action_space.shape)
            before = env.state
            kind, told = answer(lambda: env.step(value), "the action")
            good = good_action(value, env.action_space.shape)
            assert kind == ("taken" if good else "refused"), (value, told)
            assert good or env.state is before
            if good and np.any(told[2]):
                env.reset()


def test_tasks_and_settings_of_environments():
    rng = random.Random(5)
    for env in (
        gymnasium.make("mamlkit/Navigation2D-v0").unwrapped,
        gymnasium.make_vec("mamlkit/Navigation2D-v0", num_envs=2),
    ):
        for _ in range(count(150)):
            task = rng.choice([odd(rng), [rng.choice(LIMITS)] * rng.randrange(4)])
            options = rng.choice([{"task": task}, {"task": task}, {"goal": task}, odd(rng)])
            kind, told = answer(lambda: env.reset(options=options), "task", "goal", "options")
            given = env.given is not None and env.given.abs().max() > 0.5
            assert kind in ("taken", "refused") and not given, (options, told)
    place = gym.IDS["mamlkit/Navigation2D-v0"][0]
    for _ in range(count(60)):
        value = odd(rng)
        kind, told = answer(lambda: gym.Batched(place, value, 5), "num_envs is")
        assert kind == ("taken" if whole(value, 1, 99) else "refused") or whole(value, 99, 2**999)
        value = odd(rng)
        kind, told = answer(lambda: gym.Single(place, render_mode=value), "render_mode is")
        assert kind == ("taken" if value is None else "refused"), (value, told)
        value = rng.choice([odd(rng), [odd(rng), 3], [1, None], (4, 5)])
        kind, told = answer(lambda: env.reset(seed=value), "seed")
        each = isinstance(value, list | tuple) and len(value) == 2
        each = each and all(v is None or whole(v, 0, 2**300) for v in value)
        good = value is None or whole(value, 0, 2**300) or each or isinstance(value, np.ndarray)
        assert kind == ("taken" if good else "refused"), (value, told)
