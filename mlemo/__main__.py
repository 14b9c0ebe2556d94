"""``python -m mlemo``: the same as the ``mlemo`` command."""

from mlemo.cli import script

if __name__ == "__main__":
    script()
