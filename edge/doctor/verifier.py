"""Checks the model on this machine: digests, chips, operating point, and its recorded answers to generated chips. Changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import FacelatchError, ModelError
from edge.contract.fingerprint import golden_chips
from edge.contract.modelfile import ModelFile, read_model
from edge.contract.runtime import Embedder
from edge.doctor.finding import Finding, failed, passed
from edge.settings import Settings

# The same as the export's gate between runtimes: with answers further off, the model's measurements do not hold in this runtime.
MIN_COSINE = 0.995


def model(path: Path, settings: Settings) -> tuple[Finding, ModelFile | None]:
    """Everything that the daemon checks of its model before it judges, and that its answers here are those that were recorded. Returns
    the model as well, unless it cannot be read."""
    private = {"file": str(path)}
    try:
        verifier = read_model(path)
    except ModelError as error:
        mend = "copy or export the model again, or set model.path to one that comes along"
        return failed("model", f"refused ({error.code}): {{error}}", mend, error=str(error)), None
    try:
        point = verifier.operating_point(settings.policy.target_fmr, allow_failed_gate=settings.policy.allow_failed_gate)
        for fmr in settings.policy.subject_fmr.values():
            verifier.operating_point(fmr, allow_failed_gate=settings.policy.allow_failed_gate)
        embedder = Embedder(verifier, threads=settings.model.threads)
    except FacelatchError as error:
        mend = "set policy.target_fmr to a point that `edge model show` lists, or use another model"
        return failed("model", f"refused ({error.code}): {{error}}", mend, error=str(error)), verifier
    answers = np.stack([embedder.answer(chip) for chip in golden_chips(verifier.chip)])
    cosine, agreement = compare_answers(answers, verifier)
    summary = f"{verifier.model_id[:12]} at {point.name}; {agreement} in {embedder.runtime}"
    if not cosine >= MIN_COSINE:
        mend = "install the locked packages again (sudo deploy/install.sh): the model's rates do not hold in this runtime"
        return failed("model", f"{summary}: at least {MIN_COSINE} is needed", mend), verifier
    if path.stat().st_mode & 0o022:
        mend = "sudo chmod go-w {file}"
        return failed(
            "model", f"{summary}; others may write the file, and so decide who is recognised", mend, **private
        ), verifier
    return passed("model", summary), verifier


def compare_answers(answers: NDArray[np.generic], verifier: ModelFile) -> tuple[float, str]:
    """The median cosine between answers, [n, D] of the output's dtype, and those recorded in the model file, and a phrase about them."""
    recorded = verifier.golden
    if answers.shape != recorded.shape:
        return 0.0, f"{len(answers)} answers to generated chips where the file records {len(recorded)}"
    if (answers == recorded).all():
        return 1.0, f"all {len(answers)} recorded answers come out bit for bit"
    zero = verifier.tower.output.zero_point
    a, b = (np.asarray(side, np.float64) - zero for side in (answers, recorded))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    # An all-zero answer has no direction: its cosine counts as 0.
    cosine = float(np.median((a * b).sum(axis=1) / np.where(lengths > 0, lengths, np.inf)))
    steps = f", up to {int(np.abs(a - b).max())} steps off" if recorded.dtype == np.int8 else ""
    return cosine, f"{len(answers)} recorded answers at a median cosine of {cosine:.5f}{steps}"
