"""Small notebooks that the tests of headless running write into a folder of their own."""

HEADER = """# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # {title}
#
# A step is $\\theta' = \\theta - \\alpha g$; [the other](02_other.ipynb) goes on.

# %% tags=["parameters"]
profile: str = "quick"  # how much is run; one of smoke, quick, paper
seed: int = 0  # first seed; 0 or more
device: str = "auto"  # where it runs; one of auto, cpu, cuda, cuda:N
alpha: float = 0.01  # inner step size; above 0
shots: int = 10  # support examples, the paper's K; from 1 to 1000
live: bool = True  # draw while it runs; true or false

# %% [markdown]
# ## Training
"""
RECORD = """
# %%
import json
import os
from pathlib import Path

from mamlkit.show.literate import progress

folder = Path(os.environ["MAMLKIT_RESULTS"]) / "claims"
folder.mkdir(parents=True, exist_ok=True)
about = {"notebook": "00_good", "command": os.environ["MAMLKIT_COMMAND"]}
content = {"verdict": "partial", "provenance": about, "seed": seed}
place = (folder / f"C001.{profile}.json").write_text(json.dumps(content))
"""
FIGURE = """
# %% tags=["figure"]
from IPython.display import Image, display

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415478"
    "9c63f8ffff3f0005fe02fe0def46b80000000049454e44ae426082")
display(Image(PNG, format="png", alt='one "white" dot'))
"""
WIDGET = """
# %% tags=["widget"]
import ipywidgets


def draw(height):
    print(f"the height is {height}")


knob = ipywidgets.FloatSlider(description="height", value=2.5, max=9.0)
ipywidgets.VBox([knob, ipywidgets.interactive_output(draw, {"height": knob})])
"""
SLOW = """
# %%
import time

for item in progress(range(30), 30, "counting", note=lambda i: f"at {i}"):
    time.sleep(0.1)
"""
GOOD = HEADER.format(title="A good one") + RECORD + FIGURE + WIDGET
BAD = (
    HEADER.format(title="A bad one")
    + "\n# %%\nvalue = 1\nvalue.nothing_like_this()\n\n# %%\nnever = 1\n"
)
OTHER = HEADER.format(title="Another").replace("shots: int", "ways: int") + "\n# %%\n1 + 1\n"
SOMETIMES = HEADER.format(title="Sometimes") + "\n# %%\nassert seed != 1, 'one is too few'\n"


def write(folder, **sources):
    """Writes notebooks, named as `_00_good=source`, and returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in sources.items():
        (folder / f"{name.lstrip('_')}.py").write_text(source)
    return folder
