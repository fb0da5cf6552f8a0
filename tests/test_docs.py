"""What the documents show is what happens: code blocks run, outputs and figures are real."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.document import BUILDING, building_section, demo_output, report_section, section
from vecdb_server.access import DENIED, FILLED, RULES
from vecdb_server.child import ServerProcess

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECURITY = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
CLIENT_README = (ROOT / "client" / "README.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent


def blocks(text: str, heading: str) -> list[tuple[str, str]]:
    """(language, content) of the code blocks under a heading."""
    part = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert part is not None, f"no heading {heading!r}"
    return re.findall(r"^```(\w+)\n(.*?)^```", part[1], re.DOTALL | re.MULTILINE)


def run(*command: str | Path, cwd: Path, text: str = "") -> str:
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | {"PATH": path, "NO_COLOR": "1"},
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("title", ["Embedded", "Tenants", "Search by codes", "Beyond memory"])
def test_embedded_example_prints_what_the_readme_shows(tmp_path, title):
    (_, code), (_, output) = blocks(README, title)
    assert run(sys.executable, "-", cwd=tmp_path, text=code) == output


def test_server_examples_print_what_the_readmes_show(tmp_path):
    (kind, start), (_, code), (_, output) = blocks(README, "With a server")
    assert (kind, start.split()[:3]) == ("sh", ["vecdb", "serve", "./data"])
    (client_code,) = re.findall(r"^```python\n(.*?)^```", CLIENT_README, re.DOTALL | re.MULTILINE)
    (tmp_path / "data").mkdir()
    with ServerProcess(tmp_path / "data", log=tmp_path / "log") as server:
        code, second = (
            text.replace("127.0.0.1:7700", server.address) for text in (code, client_code)
        )
        assert run(sys.executable, "-", cwd=tmp_path, text=code) == output
        # "notes" is the collection of both.
        second = second.replace('"notes"', '"others"')
        assert "{'lang': 'en'}" in run(sys.executable, "-", cwd=tmp_path, text=second)


def test_command_lines_of_the_readme_succeed(tmp_path):
    ((_, lines),) = blocks(README, "On the command line")
    vectors = np.random.default_rng(0).standard_normal((100, 8)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", vectors)
    for line in lines.splitlines():
        run("bash", "-euc", line, cwd=tmp_path)
    assert (tmp_path / "vectors.jsonl").read_text(encoding="utf-8").count("\n") == 100


def test_command_lines_about_keys_succeed(tmp_path):
    ((_, lines), (_, shown)) = blocks(SECURITY, "Keys")
    printed = [run("bash", "-euc", line, cwd=tmp_path) for line in lines.splitlines()]
    table = re.sub(r"[0-9a-f]{12}", "#", printed[-1])
    assert re.sub(r" +", " ", table) == re.sub(r" +", " ", re.sub(r"[0-9a-f]{12}", "#", shown))


def test_rules_of_the_security_document_are_those_of_the_server():
    rows = re.findall(r"^\| `(\w+)/(\w+)` \| ([\w:]*) \| (.*?) \|$", SECURITY, re.MULTILINE)
    told = {(service, method): (right, tenant) for service, method, right, tenant in rows}
    texts = {DENIED: "refused", FILLED: "as that tenant"}
    rules = {
        tuple(method.removeprefix("/vecdb.v1.").split("/")): (
            rule.right or "any",
            texts.get(rule.tenant, "no figures"),
        )
        for method, rule in RULES.items()
    }
    assert told == rules


def test_readme_names_every_command():
    listed = run(BIN / "vecdb", "--help", cwd=ROOT).split("Commands:")[1]
    names = re.findall(r"^  ([\w-]+) ", listed, re.MULTILINE)
    assert len(names) > 8
    missing = [name for name in names if not re.search(rf"\bvecdb {name}\b", README)]
    assert not missing, f"README.md does not show {missing}"


def masked(text: str) -> list[str]:
    """The lines, without what differs from run to run."""
    text = re.sub(r"vecdb-demo-\w+", "vecdb-demo", text)
    return [re.sub(r"[\d.,]*\d", "#", re.sub(r" +", " ", line)) for line in text.splitlines()]


def test_demo_prints_what_the_readme_shows():
    shown = section(README, "demo").strip().removeprefix("```text").removesuffix("```").strip()
    assert masked(shown) == masked(demo_output().strip())


def test_figures_of_the_readme_are_those_of_the_result_files():
    assert section(README, "bench") == report_section(), "run `python -m bench readme`"


def test_figures_of_decisions_are_those_of_the_result_files():
    text = BUILDING.read_text(encoding="utf-8")
    assert section(text, "building") == building_section(), "run `python -m bench readme`"


def test_every_suite_has_results():
    assert report_section().count("\n| ") >= 10
