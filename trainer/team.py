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
    """The replicas of a training: `replicas` in all, of which this process has `local_replicas`, starting with number `first`."""

    def __init__(self, strategy: tf.distribute.Strategy | None = None, first: int = 0, local_replicas: int = 1) -> None:
        self._strategy, self._first, self._local_replicas = strategy, first, local_replicas
        self.replicas: int = strategy.num_replicas_in_sync if strategy else 1
        self.chief = first == 0
        self.alone = local_replicas == self.replicas
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
        per_replica = total // self.replicas
        return slice(self._first * per_replica, (self._first + self._local_replicas) * per_replica)

    def traced(self, step: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
        """Compiles a step to one graph that runs on all replicas. A step takes a tuple of tensors that are shared out, such as its
        replica's chips, and then tensors that all replicas get: the batch's rows, the number of people."""
        if not self._strategy:
            return tf.function(step, reduce_retracing=True)
        graph = tf.function(lambda *args: self._run(step, *args), reduce_retracing=True)
        return lambda shared, *others: graph(tuple(self._distribute(values) for values in shared), *others)

    def gather(self, part: tf.Tensor, total: int) -> tf.Tensor:
        """Within a step: gathers this replica's rows, [total / replicas, D], with those of all others, [total, D]. Gradients flow back."""
        if not self._strategy:
            return part
        # As a sum of zero-padded parts: TensorFlow's own gather does not work across several workers.
        context = tf.distribute.get_replica_context()
        offset = context.replica_id_in_sync_group * (total // self.replicas)
        padded = tf.pad(part, [[offset, total - total // self.replicas - offset], [0, 0]])
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
        votes = self._vote(self._distribute(np.full(self._local_replicas, float(stop and self.chief), np.float32)))
        return bool(np.max(votes) > 0)

    def _run(self, step: Callable[..., tf.Tensor], *args: Any) -> Any:
        return self._strategy.experimental_local_results(self._strategy.run(step, args=args))[0]

    def _distribute(self, values: NDArray[Any]) -> Any:
        per_replica = len(values) // self._local_replicas

        def shard(context: Any) -> tf.Tensor:
            start = (context.replica_id_in_sync_group - self._first) * per_replica
            return tf.constant(values[start : start + per_replica])

        return self._strategy.experimental_distribute_values_from_function(shard)


def assemble(requested: Strategy) -> Team:
    """The team for this machine and TF_CONFIG. Call it before anything else that initialises TensorFlow, which cannot join a cluster
    later.

    Raises:
        InputError: TF_CONFIG does not describe a cluster of workers, or is not set although `requested` needs it.
    """
    workers, index = _cluster()
    if requested is Strategy.MULTI_WORKER or (requested is Strategy.AUTO and workers > 1):
        if not workers:
            raise InputError(
                "--strategy multi-worker needs TF_CONFIG, such as "
                '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}'
            )
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        local_replicas = strategy.num_replicas_in_sync // workers
        return Team(strategy, index * local_replicas, local_replicas)
    if requested is Strategy.MIRRORED or (requested is Strategy.AUTO and len(tf.config.list_physical_devices("GPU")) > 1):
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
        return Team(strategy, 0, strategy.num_replicas_in_sync)
    return Team()


def wait_for_chief(files: list[Path]) -> None:
    """Waits until the chief has written the files that all workers start from.

    Raises:
        WorkerLost: they are not there after WAIT_S.
    """
    deadline = time.monotonic() + WAIT_S
    while missing := [path for path in files if not path.exists()]:
        if time.monotonic() > deadline:
            raise WorkerLost(f"{missing[0]}: not written by the first worker in {WAIT_S:.0f} s; is the run's folder shared?")
        time.sleep(0.2)


@contextmanager
def lost_worker_errors(run: Path, team: Team) -> Iterator[None]:
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
