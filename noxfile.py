"""Sessions of checks in environments of their own: ``nox -l`` lists them, ``nox -s lint`` runs one."""

from pathlib import Path

import nox
import tomllib

nox.options.sessions = ["lint", "docs", "tests"]
nox.options.default_venv_backend = "uv|virtualenv"
nox.needs_version = ">=2024.4"

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
SUITE = ["pytest", "-n", "2", "--dist", "worksteal"]


def lower_bounds():
    """Return a constraint ``name==version`` for the lower bound of every requirement in pyproject.toml."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = (requirement for group in project["optional-dependencies"].values() for requirement in group)
    pinned = {}
    for requirement in (*project["dependencies"], *extras):
        name, _, version = requirement.partition(">=")
        if version:
            pinned[name.strip()] = f"{name.strip()}=={version.split(',')[0].strip()}"
    return sorted(pinned.values())


@nox.session(python=PYTHONS)
@nox.parametrize("dependencies", ["oldest", "pinned", "newest"])
def tests(session, dependencies):
    """Run the suite with the oldest supported, the pinned or the newest dependencies."""
    constraints = []
    if dependencies == "oldest":
        path = Path(session.create_tmp()) / "oldest.txt"
        path.write_text("\n".join(lower_bounds()) + "\n", encoding="utf-8")
        constraints = ["-c", str(path)]
    elif dependencies == "pinned":
        constraints = ["-c", "constraints.txt"]
    session.install(*constraints, "-e", ".[test]")
    session.run(*SUITE, *session.posargs, env={"OMP_NUM_THREADS": "1"})


@nox.session(python="3.11")
def lint(session):
    """Check style, types, layers and names."""
    session.install("-c", "constraints.txt", "-e", ".[test]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")
    session.run("pytest", "tests/test_glossary.py", "tests/test_imports.py")


@nox.session(python="3.11")
def docs(session):
    """Run the examples and check the figures and links of the pages."""
    session.install("-c", "constraints.txt", "-e", ".[test]")
    session.run("pytest", "docs", "README.md", "tests/docs")


@nox.session(python="3.11")
def integrations(session):
    """Run the adapters with all of their libraries, and the examples of their page."""
    session.install("-e", ".[test,integrations]")  # MLflow takes no pyarrow as new as that of constraints.txt
    tests = ["tests/integrations", "tests/metrics/test_quantus.py", "tests/explainers/test_captum.py"]
    session.run("pytest", *tests, "docs/integrations.md")


@nox.session(python="3.11")
def sweep(session):
    """Attack the proofs of hundreds of random networks."""
    session.install("-c", "constraints.txt", "-e", ".[test]")
    session.run(*SUITE, "-m", "slow", "tests/certificates/test_top_k.py", env={"OMP_NUM_THREADS": "1"})
