"""`python -m workbench.cli`, which does what `workbench` does."""

from workbench.cli import app

if __name__ == "__main__":
    app()
