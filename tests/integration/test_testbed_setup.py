"""How the test bed sets itself up: what is made once, found, or asked for; and the targets of the Makefile."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from testbed import cache, programs

ROOT = Path(__file__).parents[2]
GO_MOD = """module k8s.io/kubernetes

go 1.26.0

require (
	k8s.io/api v0.0.0
	k8s.io/kube-openapi v0.0.0-20260317180543-43fb72c5454a
	k8s.io/utils v0.0.0-20260210185600-b8788abfbbc2
	k8s.io/client-go v0.0.0 // indirect
)
"""


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "headrace"


def test_interrupted_artefact_leaves_nothing_and_is_made_anew(own_cache: Path) -> None:
    def interrupted(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.artefact("thing-1", interrupted)
    assert [each.name for each in own_cache.iterdir()] == ["locks"]

    made = cache.artefact("thing-1", lambda folder: (folder / "whole").touch())
    assert [each.name for each in made.iterdir()] == ["whole"]


def test_what_a_killed_run_left_unfinished_is_removed(own_cache: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    unfinished = cache.root() / f"{cache.STAGING_PREFIX}thing-{ended.pid}"
    unfinished.mkdir()
    (unfinished / "half").touch()
    cache.artefact("other", lambda _: None)
    assert not unfinished.exists()
    assert own_cache.exists()


def test_two_runs_make_an_artefact_once(own_cache: Path) -> None:
    script = (
        "import pathlib, sys, time; from testbed import cache\n"
        "def make(folder):\n"
        "    with open(sys.argv[1], 'a') as log: log.write('made ')\n"
        "    time.sleep(0.5)\n"
        "cache.artefact('thing', make)"
    )
    log = own_cache.parent / "log"
    command = [sys.executable, "-c", script, str(log)]
    runs = [threading.Thread(target=subprocess.run, args=(command,), kwargs={"check": True}) for _ in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert log.read_text() == "made "


def test_content_hash_tells_what_moved_or_changed(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = cache.content_hash([tmp_path])
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").touch()
    assert cache.content_hash([tmp_path]) == first
    (tmp_path / "a").rename(tmp_path / "b")
    assert cache.content_hash([tmp_path]) != first


def test_only_the_parts_of_kubernetes_are_replaced() -> None:
    assert programs.kubernetes_staging(GO_MOD).splitlines() == [
        "go 1.26.0",
        "replace k8s.io/api => k8s.io/api v0.36.3",
        "replace k8s.io/client-go => k8s.io/client-go v0.36.3",
    ]


@pytest.mark.parametrize(("version", "taken"), [("v1.36.0", True), ("v1.36.3", True), ("v1.35.3", False)])
def test_kubernetes_of_the_same_minor_version_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, taken: bool
) -> None:
    program = tmp_path / "kubelet"
    program.write_text(f"#!/bin/sh\necho Kubernetes {version}\n")
    program.chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")
    assert (programs.found("kubelet", "1.36.3") == program) is taken


def test_without_python_one_line_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "dirname").symlink_to("/usr/bin/dirname")
    run = subprocess.run(
        ["/bin/sh", ROOT / "testbed" / "bootstrap.sh"],
        env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr == "setup: python3 is missing: install Python 3.11 or newer\n"


def test_make_help_lists_every_target() -> None:
    targets = set(re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    said = subprocess.run(["make", "help"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert set(re.findall(r"^  make (\S+)", said.stdout, re.MULTILINE)) == targets
