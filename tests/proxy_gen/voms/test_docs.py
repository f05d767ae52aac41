"""The page on attribute certificates: its example runs, and its codes are those that there are."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.tools.programs import run

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "voms.md").read_text()


def test_the_example_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    done = run([sys.executable, "-W", "error", "-c", example])
    assert done, done


def test_every_code_is_told() -> None:
    sources = "".join(file.read_text() for file in (ROOT / "proxy_gen" / "voms").glob("*.py"))
    raised = set(re.findall(r'"((?:ac|aa|vomsdir)_[a-z_]+)"', sources))
    told = set(re.findall(r"`((?:ac|aa|vomsdir)_[a-z_]+)`", PAGE))
    assert raised == told
