"""The `trainer` command: each command reads its arguments, calls one function and prints the result.

Modules that load OpenCV, Keras or a data set are imported inside the commands, so that `trainer --help` and shell completion are fast.
"""

from __future__ import annotations

from importlib import import_module

from trainer.cli.shared import app

__all__ = ["KEPT", "app"]

_BEGINS_AGAIN = "begin again with"
KEPT = {
    "import omniglot": f"the drawings count when all are there; {_BEGINS_AGAIN}",
    "import": "the pictures that were written stay; the others come with",
    "capture": "the pictures that were taken stay; take more with",
    "draw": f"the pictures that were drawn stay, and will be drawn over; {_BEGINS_AGAIN}",
    "prepare": f"the set is not prepared until every picture was looked at; {_BEGINS_AGAIN}",
    "teach": "all that the teacher said until half a minute ago is kept; go on from there with",
    "fit": "all up to the last whole epoch is kept, and a finished training whole; go on from there with",
    "evaluate": f"a report is written at the end, and the model and the data stay as they are; {_BEGINS_AGAIN}",
    "compare-models": f"figures are written at the end, and the models and the data stay as they are; {_BEGINS_AGAIN}",
    "one-shot": f"nothing is written; {_BEGINS_AGAIN}",
    "held-out": f"the file is written at the end, whole or not at all; {_BEGINS_AGAIN}",
    "cohort": f"the head is written at the end, whole or not at all; {_BEGINS_AGAIN}",
    "demo": f"the folder will be made anew; {_BEGINS_AGAIN}",
}
"""By command: what remains after Ctrl-C. The message is followed by the command as it was typed."""

for module in ("pictures", "training", "figures"):  # in the order of `--help`
    import_module(f"trainer.cli.{module}")
