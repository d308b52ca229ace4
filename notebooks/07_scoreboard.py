# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 7 · So what is true?
#
# Every claim of the paper that can be checked, and those of three articles about it, in one
# picture: a square for each, coloured by its verdict, hatched where our training was smaller than
# the paper's.

# %% tags=["figure"]
from mamlkit.audit.claims import counts, read, standing
from mamlkit.audit.scoreboard import board, forest, numbers, squares
from mamlkit.show.literate import figure, say

rows = standing(read("paper"))
said = {v: sum(r["verdict"] == v for r in rows) for v in dict.fromkeys(r["verdict"] for r in rows)}
title = f"{len(rows)} claims: {said.get('reproduced', 0)} hold, {said.get('refuted as stated', 0)} "
title += f"are false as stated, {said.get('not tested', 0)} are still open"
words = ", ".join(f"{n} {v}" for v, n in said.items())
figure(squares(rows, title), f"A square for each claim, by section, coloured by verdict: {words}.")

# %% [markdown]
# Where we could test the paper it mostly holds, in full or in part. What one gradient step does
# comes out on sine waves, in navigation and on Omniglot. Of Table 1, 20-way Omniglot and
# miniImagenet are still open: what has run of them had a third of the paper's budget or less. A
# square says nothing about how much work stands behind it, so here the claims are counted by what
# does.

# %% tags=["fold"]
say(counts(rows))

# %% [markdown]
# *An identity or a count is exact. A document is a quoted number, a file name or a line of the
# authors' code. Secondary texts are an encyclopaedia entry, an article and an activity page about
# the paper. A question of our own has an answer, not a verdict.*
#
# ## Five things we did not expect

# %% tags=["fold"]
SURPRISES = {
    "C029": "Ten steps help most waves, and a few blow up",
    "C009": "Adapting the last layer alone is not enough",
    "X021": "A memory did better than a gradient step in navigation, in every training",
    "C141": "Five numbers adapt a cheetah's direction well",
    "X002": "The step that MAML learns is not a kernel step",
}
by_id = {r["id"]: r for r in rows}
lines = [f"- **{words}** ({name}): {by_id[name]['why']}" for name, words in SURPRISES.items()]
say("\n".join(lines))

# %% [markdown]
# ## Refuted as stated, and not reproduced
#
# A claim stands here if it was tested at the paper's own budget, or if no budget is needed to test
# it. C141 is special: it says that something fails, and with less training than the paper's it
# worked.

# %% tags=["fold"]
lost = [r for r in rows if r["verdict"] in ("refuted as stated", "not reproduced")]
say("\n".join(f"- **{r['id']}** *{r['quote']}*: {r['why']}" for r in lost))

# %% [markdown]
# ## The numbers
#
# Every number of the paper that an experiment of ours answers, over the paper's. A bar that crosses
# the line agrees. A number that several claims share stands at the first of them.

# %% tags=["figure"]
pairs = [f"{label} {here:.3g} against {paper:.3g}" for label, paper, here, *_ in numbers(rows)]
figure(forest(rows), f"Our values over the paper's, one line each: {'; '.join(pairs)}.")

# %% [markdown]
# ## All of it
#
# Choose a verdict or a kind; the id leads to the chapter where the claim stands. Your browser's
# search finds words.

# %% tags=["fold"]
from IPython.display import HTML

HTML(board(rows))

# %% [markdown]
# Each record, with its checks, protocol and provenance, is one file in `data/claims`. `python -m
# mamlkit judge` writes them anew from what is banked, in minutes; `python -m mamlkit bank` trains
# what is not.
#
# Before: [what came after MAML](06_variants.ipynb) · next:
# [your own problem](08_your_own.ipynb) · [the fine print](09_fine_print.ipynb)
