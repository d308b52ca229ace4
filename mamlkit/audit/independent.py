"""A second reading of the banked networks, in numpy: its own sampler, forward pass and gradient.

It shares no line with the package: if a record is wrong because of a mistake in our sampler, our
network or our inner step, these numbers disagree with it.
"""

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

DATA = Path(__file__).resolve().parents[2] / "data"
Array = np.ndarray
Weights = dict[str, Array]


def weights(file: Path) -> Weights:
    """The parameters in a file of the bank, in double precision."""
    found = load_file(file)
    return {
        name.removeprefix("params/"): array.astype(np.float64)
        for name, array in found.items()
        if name.startswith("params/")
    }


# Section 5.1
# --------------------------------------------------------------------------------------------------


def sine_error(theta: Weights, x: Array, y: Array, query: Array, truth: Array) -> Array:
    """The squared error of the 1-40-40-1 network on one wave, before and after a step of 0.01."""

    def forward(w, x):
        first = np.maximum(x @ w["layer0.weight"].T + w["layer0.bias"], 0)
        second = np.maximum(first @ w["layer1.weight"].T + w["layer1.bias"], 0)
        return first, second, second @ w["layer2.weight"].T + w["layer2.bias"]

    first, second, out = forward(theta, x)
    back = 2 * (out - y) / len(x)
    gradient = {"layer2.weight": back.T @ second, "layer2.bias": back.sum(0)}
    back = back @ theta["layer2.weight"] * (second > 0)
    gradient |= {"layer1.weight": back.T @ first, "layer1.bias": back.sum(0)}
    back = back @ theta["layer1.weight"] * (first > 0)
    gradient |= {"layer0.weight": back.T @ x, "layer0.bias": back.sum(0)}
    moved = {name: theta[name] - 0.01 * gradient[name] for name in theta}
    return np.array([np.mean((forward(w, query)[2] - truth) ** 2) for w in (theta, moved)])


def sines(folder: Path, tasks: int = 2_000, seed: int = 0) -> Array:
    """Errors at K = 5 of every banked MAML network: (networks, tasks, 2)."""
    draw = np.random.default_rng(seed)

    def wave():
        amplitude, phase = draw.uniform(0.1, 5), draw.uniform(0, np.pi)
        x, query = draw.uniform(-5, 5, (5, 1)), draw.uniform(-5, 5, (100, 1))
        return x, amplitude * np.sin(x - phase), query, amplitude * np.sin(query - phase)

    thetas = [weights(file) for file in sorted(folder.glob("maml-*.safetensors"))]
    waves = [wave() for _ in range(tasks)]
    return np.stack([[sine_error(theta, *w) for w in waves] for theta in thetas])


# Section 5.2
# --------------------------------------------------------------------------------------------------


def patches(x: Array) -> Array:
    """The 3x3 patches of a map at stride 2, padded by 1: (examples, rows, columns, 9 channels)."""
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    rows = (x.shape[2] - 3) // 2 + 1
    found = [
        x[:, :, i : i + 2 * rows : 2, j : j + 2 * rows : 2] for i in range(3) for j in range(3)
    ]
    return (
        np.stack(found, -1)[:, :, :rows, :rows]
        .transpose(0, 2, 3, 1, 4)
        .reshape(len(x), rows, rows, -1)
    )


def unpatched(back: Array, shape: tuple[int, ...]) -> Array:
    """The transpose of `patches`."""
    examples, channels, size, _ = shape
    rows = back.shape[1]
    back = back.reshape(examples, rows, rows, channels, 3, 3).transpose(0, 3, 1, 2, 4, 5)
    x = np.zeros((examples, channels, size + 3, size + 3))
    for i in range(3):
        for j in range(3):
            x[:, :, i : i + 2 * rows : 2, j : j + 2 * rows : 2] += back[..., i, j]
    return x[:, :, 1 : size + 1, 1 : size + 1]


def convnet(w: Weights, x: Array) -> tuple[Array, list]:
    """Four strided convolutions with batch norm and ReLU, the mean of the map, a linear layer."""
    kept = []
    for i in range(4):
        seen = patches(x)
        out = seen @ w[f"layer{i}.weight"].reshape(64, -1).T + w[f"layer{i}.bias"]
        scale = 1 / np.sqrt(out.var((0, 1, 2)) + 1e-3)
        normed = (out - out.mean((0, 1, 2))) * scale
        kept.append((x.shape, seen, normed, scale, normed + w[f"norm{i}.beta"] > 0))
        x = np.maximum(normed + w[f"norm{i}.beta"], 0).transpose(0, 3, 1, 2)
    features = x.mean((2, 3))
    return features @ w["layer4.weight"].T + w["layer4.bias"], [*kept, features, x.shape]


def slope(w: Weights, x: Array, y: Array) -> Weights:
    """The gradient of the mean cross-entropy, without that of the norms, which do not adapt."""
    logits, (*kept, features, shape) = convnet(w, x)
    chance = np.exp(logits - logits.max(1, keepdims=True))
    back = chance / chance.sum(1, keepdims=True)
    back[np.arange(len(y)), y] -= 1
    back /= len(y)
    gradient = {"layer4.weight": back.T @ features, "layer4.bias": back.sum(0)}
    back = (back @ w["layer4.weight"])[:, None, None] / (shape[2] * shape[3])
    back = np.broadcast_to(back, (len(x), shape[2], shape[3], 64))
    for i in reversed(range(4)):
        before, seen, normed, scale, on = kept[i]
        back = back * on
        mean = lambda a: a.mean((0, 1, 2))
        back = (back - mean(back) - normed * mean(back * normed)) * scale
        weight = w[f"layer{i}.weight"]
        gradient[f"layer{i}.weight"] = np.tensordot(back, seen, ([0, 1, 2], [0, 1, 2])).reshape(
            weight.shape
        )
        gradient[f"layer{i}.bias"] = back.sum((0, 1, 2))
        back = unpatched(back @ weight.reshape(64, -1), before).transpose(0, 2, 3, 1)
    return gradient


def characters() -> list[list[Array]]:
    """The drawings of the test characters, ink 1 and paper 0, read from the official zips."""
    from PIL import Image

    place = Path(os.environ.get("MAMLKIT_DATA", DATA / "cache")) / "omniglot"
    names = json.loads((DATA / "splits" / "omniglot.json").read_text(encoding="utf-8"))
    found: dict[str, list[Array]] = {name: [] for name in names["splits"]["test"]}
    for part in ("images_background.zip", "images_evaluation.zip"):
        with zipfile.ZipFile(place / part) as zipped:
            for name in sorted(zipped.namelist()):
                character = "/".join(name.split("/")[-3:-1])
                if name.endswith(".png") and character in found:
                    grey = Image.open(io.BytesIO(zipped.read(name))).convert("L")
                    small = grey.resize((28, 28), Image.Resampling.LANCZOS)
                    found[character].append(1 - np.asarray(small) / 255)
    return list(found.values())


def omniglot(
    theta: Weights,
    drawn: list[list[Array]],
    tasks: int,
    seed: int = 0,
    *,
    way: int = 5,
    shots: int = 1,
    steps: int = 3,
    alpha: float = 0.4,
) -> Array:
    """Accuracy in percent after the steps of the paper's evaluation, 15 queries a class together.

    alpha: on the mean loss.
    """
    draw, right = np.random.default_rng(seed), []
    for _ in range(tasks):
        support, query = [], []
        for character in draw.choice(len(drawn), way, replace=False):
            k = int(draw.integers(4))
            chosen = draw.choice(len(drawn[character]), shots + 15, replace=False)
            turned = [np.rot90(drawn[character][i], k) for i in chosen]
            support += turned[:shots]
            query += turned[shots:]
        w, x = theta, np.stack(support)[:, None]
        for _ in range(steps):
            gradient = slope(w, x, np.repeat(np.arange(way), shots))
            w = w | {name: w[name] - alpha * g for name, g in gradient.items()}
        answers = convnet(w, np.stack(query)[:, None])[0].argmax(1)
        right.append(100 * np.mean(answers == np.repeat(np.arange(way), 15)))
    return np.array(right)


# Agreement
# --------------------------------------------------------------------------------------------------


def apart(name: str, ours: Array, low: float, high: float) -> tuple[bool, str]:
    """Whether a second reading's interval meets a record's, and a sentence that says both."""
    mean, half = ours.mean(), 1.96 * ours.std(ddof=1) / len(ours) ** 0.5
    meets = mean - half <= high and low <= mean + half
    words = "agrees with" if meets else "DIFFERS from"
    return not meets, (f"{name}: {mean:.4g} +- {half:.2g} {words} the kept {low:.4g} to {high:.4g}")


def recorded(claim: str, label: str) -> tuple[float, float]:
    """The interval that a record gives a number."""
    file = DATA / "claims" / f"{claim}.paper.json"
    here = json.loads(file.read_text(encoding="utf-8"))["here"][label]
    return here["low"], here["high"]


def counted(file: Path, way: int = 5, steps: int = 3, **_) -> tuple[float, float]:
    """The interval of the accuracy that a file of the bank says it was measured to have."""
    right = load_file(file)["measured/right.together"][:, steps] / (way * 15) * 100
    half = 1.96 * right.std(ddof=1) / len(right) ** 0.5
    return right.mean() - half, right.mean() + half


TOGETHER = "15 queries a class"
CONVNETS: tuple[
    tuple[str, str, str, dict[str, Any]], ...
] = (  # cells of the bank, the claim whose number they are, if any, the number, how they adapt
    ("omniglot-5w1s-cpu/printed-*", "X005", f"{TOGETHER}, together", {}),
    ("omniglot-5w1s/maml-*", "C050", TOGETHER, dict(alpha=2.0)),
    ("omniglot-5w5s/maml-*", "C051", TOGETHER, dict(alpha=2.0, shots=5)),
    ("omniglot-20w1s-third/printed-*", "C052", TOGETHER, dict(alpha=0.1, way=20, steps=5)),
    ("omniglot-5w5s-cpu/printed-*", "", TOGETHER, dict(shots=5)),
    ("omniglot-5w1s/fomaml-*", "", TOGETHER, dict(alpha=2.0)),
    ("omniglot-5w5s/fomaml-*", "", TOGETHER, dict(alpha=2.0, shots=5)),
    ("omniglot-5w1s-cpu-first-order/*", "", TOGETHER, {}),
    ("omniglot-5w5s-cpu-first-order/*", "", TOGETHER, dict(shots=5)),
)


def agree(tell: Callable[[str], None], waves: int = 2_000, tasks: int = 200) -> bool:
    """Reads every banked network that it can read and says whether the records agree with it, or
    what the bank measured of one that has no number in a record."""
    folder, differs = DATA / "bank", []
    found = sines(folder / "sinusoid", waves)
    after = recorded("C026", "MSE after 1 step")
    readings = [("C026, error after one step, K = 5", found[..., 1].mean(0), after)]
    try:
        drawn = characters()
    except FileNotFoundError:
        tell("Omniglot is not here: its networks are not re-read")
        drawn = []
    for cell, claim, label, how in CONVNETS if drawn else ():
        for file in sorted(folder.glob(f"{cell}.safetensors")):
            some = max(8, tasks * 5 // how.get("way", 5) // how.get("shots", 1))
            ours = omniglot(weights(file), drawn, some, **how)
            theirs = recorded(claim, label) if claim else counted(file, **how)
            name = f"{claim + ', ' if claim else ''}{file.parent.name} {file.stem}"
            readings.append((name, ours, theirs))
    for name, ours, theirs in readings:
        wrong, words = apart(name, ours, *theirs)
        tell(words)
        differs.append(wrong)
    return not any(differs)
