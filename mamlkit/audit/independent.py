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


def patches(x: Array, stride: int) -> Array:
    """The 3x3 patches of a map, padded by 1: (examples, rows, columns, 9 channels)."""
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    rows = (x.shape[2] - 3) // stride + 1
    found = [
        x[:, :, i : i + stride * rows : stride, j : j + stride * rows : stride][..., :rows, :rows]
        for i in range(3)
        for j in range(3)
    ]
    return np.stack(found, -1).transpose(0, 2, 3, 1, 4).reshape(len(x), rows, rows, -1)


def unpatched(back: Array, shape: tuple[int, ...], stride: int) -> Array:
    """The transpose of `patches`."""
    examples, channels, size, _ = shape
    rows = back.shape[1]
    back = back.reshape(examples, rows, rows, channels, 3, 3).transpose(0, 3, 1, 2, 4, 5)
    x = np.zeros((examples, channels, size + 3, size + 3))
    for i in range(3):
        for j in range(3):
            where = slice(i, i + stride * rows, stride), slice(j, j + stride * rows, stride)
            x[:, :, *where] += back[..., i, j]
    return x[:, :, 1 : size + 1, 1 : size + 1]


def halved(x: Array) -> tuple[Array, Callable[[Array], Array]]:
    """The largest of every 2x2 numbers of a map, and how a derivative goes back through it."""
    n, channels, size, _ = x.shape
    half = size // 2
    whole = x[:, :, : 2 * half, : 2 * half].reshape(n, channels, half, 2, half, 2)
    fours = whole.transpose(0, 1, 2, 4, 3, 5).reshape(n, channels, half, half, 4)
    first = fours.argmax(-1)[..., None]

    def back(d):
        spread = np.zeros_like(fours)
        np.put_along_axis(spread, first, d[..., None], -1)
        spread = spread.reshape(n, channels, half, half, 2, 2).transpose(0, 1, 2, 4, 3, 5)
        result = np.zeros_like(x)
        result[:, :, : 2 * half, : 2 * half] = spread.reshape(n, channels, 2 * half, 2 * half)
        return result

    return np.take_along_axis(fours, first, -1)[..., 0], back


def layer(w: Weights, i: int, x: Array) -> tuple[Array, Callable[[Array], tuple[Array, Weights]]]:
    """A linear map, batch normalisation and a ReLU: (rows, inputs) -> (rows, outputs), and how a
    derivative goes back through them."""
    weight = w[f"layer{i}.weight"].reshape(len(w[f"layer{i}.bias"]), -1)
    out = x @ weight.T + w[f"layer{i}.bias"]
    scale = 1 / np.sqrt(out.var(0) + 1e-3)
    normed = (out - out.mean(0)) * scale
    shifted = normed + w[f"norm{i}.beta"]

    def back(d):
        d = d * (shifted > 0)
        d = (d - d.mean(0) - normed * (d * normed).mean(0)) * scale
        shape = w[f"layer{i}.weight"].shape
        slopes = {f"layer{i}.weight": (d.T @ x).reshape(shape), f"layer{i}.bias": d.sum(0)}
        return d @ weight, slopes

    return np.maximum(shifted, 0), back


def block(w: Weights, i: int, x: Array, pooled: bool) -> tuple[Array, Callable]:
    """A `layer` on the 3x3 patches of a map: at stride 2, or at stride 1 and `halved`."""
    stride = 1 if pooled else 2
    seen = patches(x, stride)
    flat, through = layer(w, i, seen.reshape(-1, seen.shape[-1]))
    out = flat.reshape(*seen.shape[:3], -1).transpose(0, 3, 1, 2)
    out, whole = halved(out) if pooled else (out, lambda d: d)

    def back(d):
        d = whole(d).transpose(0, 2, 3, 1)
        d, slopes = through(d.reshape(-1, d.shape[-1]))
        return unpatched(d.reshape(seen.shape), x.shape, stride), slopes

    return out, back


def network(w: Weights, x: Array) -> tuple[Array, Callable[[Array], Weights]]:
    """Table 1's nets: the logits, and the gradient by theirs, without that of the norms, which do
    not adapt. Four layers and a linear one; which net it is the weights say."""
    on_maps = w["layer0.weight"].ndim == 4
    pooled = on_maps and w["layer4.weight"].shape[1] > len(w["layer3.bias"])
    x, backs = x if on_maps else x.reshape(len(x), -1), []
    for i in range(4):
        x, back = block(w, i, x, pooled) if on_maps else layer(w, i, x)
        backs.append(back)
    mean = on_maps and not pooled
    features = x.mean((2, 3)) if mean else x.reshape(len(x), -1)

    def slopes(d):
        found = {"layer4.weight": d.T @ features, "layer4.bias": d.sum(0)}
        d = d @ w["layer4.weight"]
        d = np.broadcast_to(d[..., None, None], x.shape) / x[0, 0].size if mean else d
        d = d.reshape(x.shape)
        for back in reversed(backs):
            d, own = back(d)
            found |= own
        return found

    return features @ w["layer4.weight"].T + w["layer4.bias"], slopes


def slope(w: Weights, x: Array, y: Array) -> Weights:
    """The gradient of the mean cross-entropy."""
    logits, slopes = network(w, x)
    chance = np.exp(logits - logits.max(1, keepdims=True))
    back = chance / chance.sum(1, keepdims=True)
    back[np.arange(len(y)), y] -= 1
    return slopes(back / len(y))


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


def photographs() -> list[list[Array]]:
    """The photographs of the test classes, (3, 84, 84) from 0 to 1, in bytes until one is asked
    for."""
    from PIL import Image

    place = Path(os.environ.get("MAMLKIT_DATA", DATA / "cache")) / "miniimagenet" / "test.zip"
    names = json.loads((DATA / "splits" / "miniimagenet.json").read_text(encoding="utf-8"))
    found: dict[str, list[Array]] = {name: [] for name in names["splits"]["test"]}
    with zipfile.ZipFile(place) as zipped:
        for name in sorted(zipped.namelist()):
            if name.endswith(".jpg"):
                image = Image.open(io.BytesIO(zipped.read(name))).convert("RGB")
                found[name.split("/")[-2]].append(np.asarray(image).transpose(2, 0, 1))
    return list(found.values())


def turned(drawings: list[Array], draw: np.random.Generator) -> list[Array]:
    """A character, turned by a quarter, by two or three of them, or not."""
    k = int(draw.integers(4))
    return [np.rot90(drawing, k)[None] for drawing in drawings]


def upright(photos: list[Array], draw: np.random.Generator) -> list[Array]:
    """Photographs as they are, from 0 to 1."""
    return [photo / 255 for photo in photos]


def accuracies(
    theta: Weights,
    images: list[list[Array]],
    tasks: int,
    seed: int = 0,
    *,
    way: int = 5,
    shots: int = 1,
    steps: int = 3,
    alpha: float = 0.4,
    seen: Callable[[list[Array], np.random.Generator], list[Array]] = turned,
) -> Array:
    """Accuracy in percent after the steps of the paper's evaluation, 15 queries a class together.

    alpha: on the mean loss.
    """
    draw, right = np.random.default_rng(seed), []
    for _ in range(tasks):
        support, query = [], []
        for one in draw.choice(len(images), way, replace=False):
            chosen = draw.choice(len(images[one]), shots + 15, replace=False)
            shown = seen([images[one][i] for i in chosen], draw)
            support += shown[:shots]
            query += shown[shots:]
        w, x = theta, np.stack(support)
        for _ in range(steps):
            gradient = slope(w, x, np.repeat(np.arange(way), shots))
            w = w | {name: w[name] - alpha * g for name, g in gradient.items()}
        answers = network(w, np.stack(query))[0].argmax(1)
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
MINI = dict(alpha=0.05, steps=10, seen=upright)
NETWORKS: tuple[
    tuple[str, str, str, dict[str, Any]], ...
] = (  # cells of the bank, the claim whose number they are, if any, the number, how they adapt
    ("omniglot-5w1s-cpu/printed-*", "X005", f"{TOGETHER}, together", {}),
    ("omniglot-5w1s/maml-*", "C050", TOGETHER, dict(alpha=2.0)),
    ("omniglot-5w5s/maml-*", "C051", TOGETHER, dict(alpha=2.0, shots=5)),
    ("omniglot-20w1s-third/printed-*", "C052", TOGETHER, dict(alpha=0.1, way=20, steps=5)),
    ("omniglot-20w5s-cpu/printed-*", "C053", TOGETHER, dict(alpha=0.1, way=20, shots=5, steps=5)),
    ("omniglot-noconv-5w1s/maml-*", "C054", TOGETHER, dict(alpha=2.0)),
    ("omniglot-noconv-5w5s/maml-*", "C055", TOGETHER, dict(alpha=2.0, shots=5)),
    ("omniglot-5w5s-cpu/printed-*", "", TOGETHER, dict(shots=5)),
    ("omniglot-5w1s-cpu/maml-*", "", TOGETHER, dict(alpha=2.0)),
    ("omniglot-5w1s/fomaml-*", "", TOGETHER, dict(alpha=2.0)),
    ("omniglot-5w5s/fomaml-*", "", TOGETHER, dict(alpha=2.0, shots=5)),
    ("omniglot-5w1s-cpu-first-order/*", "", TOGETHER, {}),
    ("omniglot-5w1s-cpu-joint/*", "", TOGETHER, {}),
    ("omniglot-5w5s-cpu-first-order/*", "", TOGETHER, dict(shots=5)),
    ("mini-5w1s-released/maml-*", "", TOGETHER, MINI),
    ("mini-5w1s-cpu/fomaml-*", "", TOGETHER, MINI),
    ("mini-5w5s-sixth/fomaml-*", "", TOGETHER, MINI | dict(shots=5)),
)


FULL, LONG = {"omniglot": "Omniglot", "mini": "miniImagenet"}, {"mini": 5}


def agree(
    tell: Callable[[str], None], waves: int = 2_000, tasks: int = 200, networks=NETWORKS
) -> bool:
    """Reads every banked network that it can read and says whether the records agree with it, or
    what the bank measured of one that has no number in a record."""
    folder, differs = DATA / "bank", []
    found = sines(folder / "sinusoid", waves)
    after = recorded("C026", "MSE after 1 step")
    readings = [("C026, error after one step, K = 5", found[..., 1].mean(0), after)]
    images = {}
    for data, read in (("omniglot", characters), ("mini", photographs)):
        try:
            images[data] = read()
        except FileNotFoundError:
            tell(f"{FULL[data]} is not here: its networks are not re-read")
    for cell, claim, label, how in networks:
        data = cell.split("-")[0]
        for file in sorted(folder.glob(f"{cell}.safetensors")) if data in images else ():
            # a step on photographs takes many times as long
            some = tasks * 5 // how.get("way", 5) // how.get("shots", 1) // LONG.get(data, 1)
            ours = accuracies(weights(file), images[data], max(8, some), **how)
            theirs = recorded(claim, label) if claim else counted(file, **how)
            name = f"{claim + ', ' if claim else ''}{file.parent.name} {file.stem}"
            readings.append((name, ours, theirs))
    for name, ours, theirs in readings:
        wrong, words = apart(name, ours, *theirs)
        tell(words)
        differs.append(wrong)
    return not any(differs)
