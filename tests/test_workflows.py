"""What a forge is told: workflows, templates, and the scripts that they name."""

import ast
import os
import re
import shlex
import subprocess

import pytest
import yaml

from tests.support import ROOT

FORGE = ROOT / ".github"
WORKFLOWS = sorted((FORGE / "workflows").glob("*.yml"))
SCRIPTS = sorted((ROOT / ".ci").iterdir())
# An action at a commit, with its version for people.
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
SETUP = (ROOT / "setup.cfg").read_text()


def parsed(path):
    return yaml.safe_load(path.read_text())


def jobs():
    for path in WORKFLOWS:
        for name, job in parsed(path)["jobs"].items():
            yield pytest.param(path, job, id=f"{path.stem}-{name}")


def commands():
    """Every line that a job runs."""
    for path in WORKFLOWS:
        for job in parsed(path)["jobs"].values():
            for step in job["steps"]:
                yield from step.get("run", "").splitlines()


@pytest.mark.parametrize("path", sorted(FORGE.rglob("*.yml")), ids=lambda p: p.name)
def test_files_are_yaml(path):
    assert isinstance(parsed(path), dict)


def test_there_are_the_workflows_that_are_promised():
    assert {p.stem for p in WORKFLOWS} == {"docs", "prereleases", "release", "tests"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_actions_are_pinned_to_commits(path):
    used = re.findall(r"uses: (.*)", path.read_text())
    assert used
    for action in used:
        assert PINNED.fullmatch(action), action


def test_one_action_has_one_version_everywhere():
    used = {a for p in WORKFLOWS for a in re.findall(r"uses: (\S+)", p.read_text())}
    assert len({action.split("@")[0] for action in used}) == len(used)


@pytest.mark.parametrize(("path", "job"), list(jobs()))
def test_a_job_may_read_and_no_more(path, job):
    assert parsed(path)["permissions"] == {"contents": "read"}
    allowed = {"id-token": "write"} if "environment" in job else None
    assert job.get("permissions") == allowed
    # What publishes runs nothing of ours, and only for a tag.
    if allowed:
        assert path.stem == "release"
        assert all("run" not in step for step in job["steps"])
        assert "refs/tags/" in job["if"]
    for step in job["steps"]:
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False
    assert 0 < job["timeout-minutes"] <= 60


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_nothing_of_a_stranger_reaches_a_shell(path):
    text = path.read_text()
    assert "pull_request_target" not in text
    assert "secrets." not in text
    for line in commands():
        assert "${{" not in line


def test_jobs_are_scripts_that_exist_and_run():
    found = set()
    for line in commands():
        words = shlex.split(line)
        assert words[0] == "bash"
        for script in (word for word in words if word.startswith(".ci/")):
            assert os.access(ROOT / script, os.X_OK), script
            found.add(script)
    assert {".ci/environment", ".ci/run", ".ci/check", ".ci/core", ".ci/build"} == found


def test_every_script_is_well_formed_and_says_what_it_does():
    assert len(SCRIPTS) >= 6
    for path in SCRIPTS:
        first, second = path.read_text().splitlines()[:2]
        assert os.access(path, os.X_OK), path
        if first.endswith("python3"):
            assert ast.get_docstring(ast.parse(path.read_text()))
            continue
        assert first == "#!/usr/bin/env bash"
        assert second.startswith("# ")
        done = subprocess.run(["bash", "-n", path], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_matrix_is_what_is_declared():
    declared = re.findall(r"Python :: (3\.\d+)$", SETUP, re.MULTILINE)
    oldest = re.search(r"python_requires = >=(\S+)", SETUP)[1]
    tests = parsed(ROOT / ".github/workflows/tests.yml")["jobs"]
    newest = tests["newest"]["strategy"]["matrix"]
    assert newest["python"] == declared
    assert tests["oldest"]["strategy"]["matrix"]["python"] == [oldest]
    for job in (newest, tests["oldest"]["strategy"]["matrix"]):
        systems = {name.split("-")[0] for name in job["os"]}
        assert systems == {"ubuntu", "macos", "windows"}
    # No image that changes under the same name.
    for path in WORKFLOWS:
        assert "-latest" not in path.read_text()


@pytest.mark.parametrize("versions", ["oldest", "newest"])
def test_requirements_of_the_core(versions):
    done = subprocess.run(
        [ROOT / ".ci/core_requirements", versions],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    lines = done.stdout.split()
    heavy = ("torch", "transformers", "sentence-transformers", "accelerate")
    assert not [line for line in lines if line.startswith(heavy)]
    numpy = next(line for line in lines if line.startswith("numpy"))
    assert ("==" in numpy) == (versions == "oldest")
    assert any(line.startswith("pytest>=" if versions == "newest" else "pytest==")
               for line in lines)  # fmt: skip


def test_what_oldest_does_not_go_with_is_refused_before_any_work():
    # A Python that can do nothing: the words are read before it is asked for anything.
    done = subprocess.run(
        ["bash", ROOT / ".ci/environment", "oldest", "test", "true"],
        env={**os.environ, "PYTHON": "false"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "oldest goes with core" in done.stderr
    done = subprocess.run(
        ["bash", ROOT / ".ci/environment", "latest", "test", "true"],
        env={**os.environ, "PYTHON": "false"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "wanted pinned, newest, oldest or pre" in done.stderr


def test_a_release_is_told_by_the_same_version_everywhere():
    from skreward import __version__

    changes = (ROOT / "CHANGELOG.md").read_text()
    sections = re.findall(r"^## \[([^\]]+)\](?: - (\S+))?$", changes, re.MULTILINE)
    assert sections[0] == ("Unreleased", "")
    assert sections[1][0] == __version__
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", sections[1][1])
    for name, _ in sections:
        assert f"\n[{name}]: https://" in changes
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
    done = subprocess.run(
        ["bash", ROOT / ".ci/build", "v9.9.9"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == f"the tag v9.9.9 is not v{__version__}\n"


def test_templates_ask_for_what_a_maintainer_needs():
    bug = parsed(FORGE / "ISSUE_TEMPLATE" / "bug.yml")
    asked = {part["id"]: part for part in bug["body"] if "id" in part}
    for name in ("seen", "output", "versions"):
        assert asked[name]["validations"]["required"] is True
    assert "show_versions" in asked["versions"]["attributes"]["description"]
    for path in (FORGE / "ISSUE_TEMPLATE").glob("[bi]*.yml"):
        form = parsed(path)
        assert {"name", "description", "body"} <= form.keys()
        kinds = {part["type"] for part in form["body"]}
        assert kinds <= {"markdown", "textarea", "input", "checkboxes"}
    request = (FORGE / "PULL_REQUEST_TEMPLATE.md").read_text()
    assert "a test that fails without the change" in request
    assert "CHANGELOG.md" in request


def test_the_security_page_says_how_to_report_and_what_loading_promises():
    page = (ROOT / "SECURITY.md").read_text()
    for words in ("Report a vulnerability", "executes nothing", "trust_remote_code",
                  "SKREWARD_TOKEN", "safetensors"):  # fmt: skip
        assert words in page


def benchmarks():
    """Every benchmark that is run by name."""
    for path in sorted((ROOT / "benchmarks").rglob("*.py")):
        if "__main__" in path.read_text():
            parts = path.relative_to(ROOT / "benchmarks").with_suffix("").parts
            yield ".".join(parts)


def test_the_table_of_benchmarks_is_whole_and_true():
    page = (ROOT / "benchmarks" / "README.md").read_text()
    rows = re.findall(r"^\| `([\w.]+)` \| .* \| .* \| (.*) \|$", page, re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(benchmarks())
    for name, told in rows:
        for path in re.findall(r"`([\w/.]+\.(?:md|rst|py|json))`", told):
            assert (ROOT / path).is_file(), (name, path)
