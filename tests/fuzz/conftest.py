"""What was tried is counted where pytest ends."""

from tests.fuzz.rule import COUNTED


def pytest_terminal_summary(terminalreporter):
    if COUNTED:
        counts = ", ".join(f"{number:,} {kind}" for kind, number in COUNTED.items())
        terminalreporter.write_line(f"generated inputs: {sum(COUNTED.values()):,} ({counts})")
