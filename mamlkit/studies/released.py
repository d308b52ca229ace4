"""The network that the authors released: 5-way 1-shot miniImagenet, after 59,000 of 60,000
iterations (github.com/cbfinn/maml, added 2018-04; MIT licence)."""

import os
from pathlib import Path

from torch import Tensor

from mamlkit import files
from mamlkit.bank.tensorflow import read
from mamlkit.families import archive
from mamlkit.trees import Params

URL = (
    "https://github.com/cbfinn/maml/raw/master/logs/miniimagenet1shot/"
    "cls_5.mbs_4.ubs_1.numstep5.updatelr0.01hidden32maxpoolbatchnorm/"
)
NAME = "model59000"
# SHA-256 of the two files that the parameters are read from
DIGESTS = (
    "1aa0796e828abfecda13d14b8edae381ec2fc00b190a0aee985d05dba4814c4f",
    "f7e14e6f544371a562441d378f4bc5765431008400cc07a16ad5ed488ea9dea0",
)
KNOWN = dict(zip((f"{NAME}.index", f"{NAME}.data-00000-of-00001"), DIGESTS))


def parameters(variables: dict[str, Tensor]) -> Params:
    """The parameters of `pooled_convnet`, from the variables of the authors' code trained with max
    pooling.

    They call the layers conv1 to conv4 and w5, and count heights, widths, channels; the biases of
    the convolutions have no names of their own (Variable, Variable_1, ...). Raises ValueError
    naming a variable that is not there, and for a net with strided convolutions, which TensorFlow
    pads at one side where we pad at both.
    """
    blocks = [f"model/Variable{f'_{i}' * (i > 0)}" for i in range(4)]
    needed = [f"model/{n}" for i in range(4) for n in (f"conv{i + 1}", f"{i}/beta")]
    needed += [*blocks, "model/w5", "model/b5"]
    if missing := [name for name in needed if name not in variables]:
        raise ValueError(f"there is no variable {missing[0]}; there are {', '.join(variables)}")
    found: Params = {}
    for i in range(4):
        found[f"layer{i}.weight"] = variables[f"model/conv{i + 1}"].permute(3, 2, 0, 1)
        found[f"layer{i}.bias"] = variables[blocks[i]]
        found[f"norm{i}.beta"] = variables[f"model/{i}/beta"]
    filters, (features, ways) = len(found["layer3.bias"]), variables["model/w5"].shape
    side = round((features / filters) ** 0.5)
    if side < 2 or side**2 * filters != features:
        raise ValueError(
            f"model/w5 has {features} features of {filters} filters: only nets with max pooling "
            "are read, whose last map is a square of 2 or more pixels"
        )
    head = variables["model/w5"].view(side, side, filters, ways)
    found["layer4.weight"] = head.permute(3, 2, 0, 1).flatten(1)
    found["layer4.bias"] = variables["model/b5"]
    return {name: p.contiguous() for name, p in found.items()}


def load(root: Path | str | None = None, *, progress=archive.quiet) -> Params:
    """The released parameters, for `pooled_convnet(5)`: 32,773 numbers.

    root: the folder that holds the two files of KNOWN. Without it they are looked for in
    MAMLKIT_DATA/released and data/cache/released, and downloaded to the latter (132 KB). Raises
    FileNotFoundError, ConnectionError or ValueError with what to do.
    """
    if root is None:
        given = os.environ.get("MAMLKIT_DATA")
        places = [files.at_home(given) / "released"] if given else []
        own = archive.CACHE / "released"
        root = next((p for p in places if (p / f"{NAME}.index").exists()), own)
        for name, digest in KNOWN.items() if root == own else ():
            if not (own / name).exists():
                archive.download(
                    URL + name,
                    own / name,
                    sha256=digest,
                    timeout=archive.TIMEOUT,
                    progress=progress,
                    instead=f"put the file into {Path(os.path.relpath(own, archive.ROOT))}",
                )
    return parameters(read(Path(root) / NAME))
