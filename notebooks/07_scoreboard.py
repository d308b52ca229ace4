# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # So what is true?
#
# Every claim of the paper that the book has come to so far, and of three articles on it, each with a criterion that was
# fixed before the run. First the count, then what was refuted, because that is what one would not find by reading.

# %% tags=["figure"]
from mamlkit.audit import claims
from mamlkit.show.literate import figure
from mamlkit.audit.scoreboard import counted

banked = claims.standing(claims.read("paper"))
figure(counted(banked), "A bar chart of the verdicts: " + ", ".join(f"{sum(r['verdict'] == v for r in banked)} {v}" for v in claims.VERDICTS) + ".")

# %% tags=["imports"]
from mamlkit.audit import claims
from mamlkit.audit.claims import MARKS, Record
from mamlkit.show.literate import figure, say
from mamlkit.machine import choose_device
from mamlkit.audit.scoreboard import board, forest, numbers

# %% tags=["parameters"]
profile: str = "quick"  # whose records stand beside the bank's; one of smoke, quick, paper
seed: int = 0  # unused here, every notebook has it; 0 or more
device: str = "auto"  # unused here, every notebook has it; one of auto, cpu, cuda, cuda:N

# %% tags=["fold"]
choose_device(device)
bank, mine = claims.read("paper"), claims.read(profile, claims.results())
rows = claims.standing(bank)
say(f"{len(bank)} records at the paper's budget are banked; this run has made {len(mine)} at `{profile}`"
    + (", shown beside them. A smaller budget reaches at best *partial*." if mine else ". Run a notebook first, or `make run`, to see yours beside them."))

# %% [markdown]
# ## Refuted as stated, and not reproduced

# %% tags=["fold"]
lost = [r for r in rows if r["verdict"] in ("refuted as stated", "not reproduced")]
say("\n".join(f"- {MARKS[r['verdict']]} **{r['id']}** ({r['section']}) “{r['quote']}”: {r['why']}" for r in lost) or "Nothing is banked as refuted.")

# %% [markdown]
# ## The numbers

# %% tags=["figure"]
figure(forest(rows), "A forest plot of our values over the paper's: " + "; ".join(f"{label} {value:.3g} against {paper:.3g}" for label, paper, value, *_ in numbers(rows)) + ".")

# %% [markdown]
# ## All of it
#
# Two choices narrow the table down; without a kernel the whole table stands below them.

# %% tags=["widget"]
from mamlkit.show.literate import interactive
from mamlkit.audit.scoreboard import filters

interactive(filters(rows, mine), board(rows, mine))

# %% [markdown]
# ## Not tested, and what would test it

# %% tags=["fold"]
open_rows = [r for r in rows if r["verdict"] in ("not tested", "not testable")]
say("\n".join(f"- **{r['id']}** “{r['quote']}”: {r['why']}" for r in open_rows) or "Everything in the ledger has a record.")

# %% [markdown]
# Each record, with its checks, protocol and provenance, is one file in `data/claims`; `python -m mamlkit bank` makes them
# again. [Start](00_start.ipynb) · [sinusoids](01_sinusoids.ipynb)
