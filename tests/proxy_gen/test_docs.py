"""The library's page: its examples run, and its codes are those that there are."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from proxy_gen import errors
from tests.tools.programs import environment, run

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "library.md").read_text()
FIRST, WRITING, READING = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_first_example_runs() -> None:
    done = run([sys.executable, "-W", "error", "-c", FIRST])
    assert done, done


def test_what_is_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    read = "from proxy_gen.trust import TrustAnchors\n" + READING.replace("/etc/grid-security/", "")
    checked = "assert trust.by_subject == {ca.certificate.subject: (ca.certificate,)}\n"
    done = run([sys.executable, "-W", "error", "-c", WRITING + read + checked], env=environment(PYTHONPATH=str(ROOT)))
    assert done, done
    assert (tmp_path / "grid-mapfile").read_text() == '"/DC=ch/DC=example/CN=Jane" jane\n'


def test_every_code_is_told() -> None:
    """Those of attribute certificates and VOMS directories are on their own page."""
    sources = "".join(file.read_text() for file in (ROOT / "proxy_gen").glob("*.py"))
    kinds = [name for name in vars(errors) if name.endswith("Error")]
    raised = set(re.findall(rf'(?:{"|".join(kinds)})\(\s*"([a-z_]+)"', sources))
    assert len(raised) > 80
    told = set(re.findall(r"`([a-z_]+)`", PAGE))
    assert raised <= told, raised - told
