"""Evaluates a model during its training, on held-out examples, every `eval_steps` steps."""

from __future__ import annotations

from collections.abc import Callable

from models.training.best_weights import BestWeights
from models.training.metrics import TrainingMetrics
from models.training.run_state import RunState


class Evaluation:
    """Computes the held-out loss at regular steps and at the last one; keeps the best weights.

    Args:
        held_out: returns the held-out loss; None: the model is never evaluated.
        interval: steps between two evaluations; 0: the model is never evaluated.
        state: the state of the run.
        best: the best weights of the run.

    Attributes:
        best: the best weights of the run.
    """

    def __init__(
        self,
        held_out: Callable[[], float] | None,
        interval: int,
        state: RunState,
        best: BestWeights,
    ) -> None:
        self._held_out = held_out
        self._interval = interval
        self._state = state
        self.best = best

    def run_if_due(self, before: int, metrics: TrainingMetrics) -> bool:
        """Evaluates the model if it is time to.

        Args:
            before: steps done before the last execution.
            metrics: receives the held-out loss.

        Returns:
            Whether the model was evaluated.

        Raises:
            TrainingDiverged: the training loss or gradient is not finite.
        """
        step, interval = int(self._state.step), self._interval
        if not self._held_out or not interval:
            return False
        if step < self._state.steps and step // interval == before // interval:
            return False
        held_out_loss = self._held_out()
        metrics.add_evaluation(held_out_loss)
        self.best.update(held_out_loss)
        return True
