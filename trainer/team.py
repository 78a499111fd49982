"""One training on several devices or machines, with the same batches, losses and weights on each. The only module that uses
tf.distribute.

Every replica runs its share of a batch through the tower. The embeddings are gathered before the loss, so that pairs across shares
count, and the loss is the same as on one device. Only the chief validates, writes files and decides when to stop.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract.errors import InputError, WorkerLost
from trainer.backend import tf
from trainer.choices import Strategy

WAIT_S = 3600.0  # for the chief, which trains the aligner before the others can start
_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.InternalError, tf.errors.CancelledError)


class Team:
    """The replicas of a training: `replicas` in all, of which this process has `here`, starting with number `first`."""

    def __init__(self, strategy: tf.distribute.Strategy | None = None, first: int = 0, here: int = 1) -> None:
        self._strategy, self._first, self._here = strategy, first, here
        self.replicas: int = strategy.num_replicas_in_sync if strategy else 1
        self.chief = first == 0
        self.alone = here == self.replicas
        self._vote = tf.function(lambda flag: self._run(_sum, flag)) if strategy else None

    def scope(self) -> Any:
        """A context in which variables are created as mirrored on all replicas."""
        return self._strategy.scope() if self._strategy else nullcontext()

    def share(self, total: int) -> slice:
        """The rows of a batch of `total` that this process prepares.

        Raises:
            InputError: the batch cannot be shared out evenly.
        """
        if total % self.replicas:
            raise InputError(
                f"a batch of {total} pictures (2 x people + strangers) for {self.replicas} replicas: choose --strangers so that it "
                "can be shared out evenly"
            )
        each = total // self.replicas
        return slice(self._first * each, (self._first + self._here) * each)

    def traced(self, step: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
        """Compiles a step to one graph that runs on all replicas. A step takes tensors: its replica's chips, the batch's rows, the
        number of people."""
        if not self._strategy:
            return tf.function(step, reduce_retracing=True)
        graph = tf.function(lambda *given: self._run(step, *given), reduce_retracing=True)
        return lambda chips, *others: graph(self._spread(chips), *others)

    def gather(self, part: tf.Tensor, total: int) -> tf.Tensor:
        """Within a step: gathers this replica's rows, [total / replicas, D], with those of all others, [total, D]. Gradients flow back."""
        if not self._strategy:
            return part
        # As a sum of zero-padded parts: TensorFlow's own gather does not work across several workers.
        context = tf.distribute.get_replica_context()
        before = context.replica_id_in_sync_group * (total // self.replicas)
        padded = tf.pad(part, [[before, total - total // self.replicas - before], [0, 0]])
        return context.all_reduce(tf.distribute.ReduceOp.SUM, padded)

    def sum(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """Within a step: sums each gradient over the replicas."""
        if not self._strategy:
            return gradients
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, gradients)

    def agree(self, stop: bool) -> bool:
        """The chief's value of `stop`, on all workers; every worker must call it."""
        if self._vote is None:
            return stop
        said = self._vote(self._spread(np.full(self._here, float(stop and self.chief), np.float32)))
        return bool(np.max(said) > 0)

    def _run(self, step: Callable[..., tf.Tensor], *given: Any) -> Any:
        return self._strategy.experimental_local_results(self._strategy.run(step, args=given))[0]

    def _spread(self, values: NDArray[Any]) -> Any:
        each = len(values) // self._here

        def part(context: Any) -> tf.Tensor:
            at = (context.replica_id_in_sync_group - self._first) * each
            return tf.constant(values[at : at + each])

        return self._strategy.experimental_distribute_values_from_function(part)


def assemble(wanted: Strategy) -> Team:
    """The team for this machine and TF_CONFIG. Call it before anything else that initialises TensorFlow, which cannot join a cluster
    later.

    Raises:
        InputError: TF_CONFIG does not describe a cluster of workers, or is not set although `wanted` needs it.
    """
    workers, index = _cluster()
    if wanted is Strategy.MULTI_WORKER or (wanted is Strategy.AUTO and workers > 1):
        if not workers:
            raise InputError(
                "--strategy multi-worker needs TF_CONFIG, such as "
                '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}'
            )
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        here = strategy.num_replicas_in_sync // workers
        return Team(strategy, index * here, here)
    if wanted is Strategy.MIRRORED or (wanted is Strategy.AUTO and len(tf.config.list_physical_devices("GPU")) > 1):
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
        return Team(strategy, 0, strategy.num_replicas_in_sync)
    return Team()


def wait_for_chief(files: list[Path]) -> None:
    """Waits until the chief has written the files that all workers start from.

    Raises:
        WorkerLost: they are not there after WAIT_S.
    """
    until = time.monotonic() + WAIT_S
    while missing := [path for path in files if not path.exists()]:
        if time.monotonic() > until:
            raise WorkerLost(f"{missing[0]}: not written by the first worker in {WAIT_S:.0f} s; is the run's folder shared?")
        time.sleep(0.2)


@contextmanager
def telling_who_is_lost(run: Path, team: Team) -> Iterator[None]:
    """Turns TensorFlow's errors for a lost worker into a WorkerLost that says how to resume."""
    try:
        yield
    except _LOST as error:
        if team.alone:
            raise  # there are no other workers: an error of this machine, such as its driver's
        raise WorkerLost(
            f"{run}: another worker is gone ({type(error).__name__}); start all of them again with their commands: "
            "they go on after the last whole epoch"
        ) from error


def _sum(flag: tf.Tensor) -> tf.Tensor:
    # identity: a value from outside the graph has no device, and all_reduce needs one.
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(flag))


def _cluster() -> tuple[int, int]:
    """The number of workers in TF_CONFIG, 0 if it is not set, and the index of this one."""
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        return 0, 0
    try:
        config = json.loads(text)
        workers, task = config["cluster"]["worker"], config["task"]
        if not isinstance(workers, list):
            raise TypeError("cluster.worker is no list of addresses")
        if task["type"] != "worker" or not 0 <= int(task["index"]) < len(workers):
            raise ValueError("the task is not one of the workers")
        return len(workers), int(task["index"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"TF_CONFIG = {text!r}: {type(error).__name__}: {error}; name cluster.worker and task") from error
