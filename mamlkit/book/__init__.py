"""The book as files: notebooks, what they take, how they run, and what is read of them."""

import sys
from types import ModuleType

# nbformat asks for it, to check addresses that no notebook has, and it makes a grammar for them:
# a second of work in every process that reads a notebook.
sys.modules.setdefault("rfc3987_syntax", ModuleType("rfc3987_syntax"))
