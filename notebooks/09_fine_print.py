# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 9 · The fine print
#
# Some claims need no story. An equation holds or it does not, a number of parameters is counted, a file name says what
# was run. They are all here, each with its criterion behind a click, so that the chapters can tell what happens instead
# of ticking boxes. Four kinds of evidence stand on this page, and the scoreboard counts them apart from experiments:
# identities and counts, documents, sentences of secondary texts, and opinions that nobody can test.
