"""Which hyperparameters the next trial gets. Without effects, and the same at each asking.

A proposal depends on the trials before it and on the tuning job's seed alone, so that a new engine
goes on as the old one would have.
"""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

from intermodal_engine.lifecycle.tuning.parameters import Categorical, Parameter

STARTING_TRIALS = 5
"""So many trials are tried at random before a model of them says anything."""

Values = dict[str, str]
"""Hyperparameters by name, as a training job gets them."""


class NoOptimizerError(Exception):
    """The library that Bayesian optimization needs is not installed; the message says so."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A trial that was proposed earlier, perhaps by another tuning job.

    Attributes:
        values: its hyperparameters.
        objective: what it reached; None while it runs, or if it reached nothing.
        is_running: whether its objective may still come.
    """

    values: Values
    objective: float | None
    is_running: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for.

    Attributes:
        strategy: `Random`, `Grid`, `Bayesian` or `Hyperband`.
        parameters: what is tuned.
        is_maximized: whether a greater objective is better.
        seed: of everything that is left to chance.
    """

    strategy: str
    parameters: Sequence[Parameter]
    is_maximized: bool
    seed: str


def propose(search: Search, number: int, seen: Sequence[Seen]) -> Values | None:
    """The hyperparameters of the next trial; None where all there are have been tried.

    Args:
        search: what is looked for.
        number: how many trials of this search there were.
        seen: these, and those of earlier tuning jobs.

    Raises:
        NoOptimizerError: the strategy's library is not there.
    """
    if search.strategy == "Grid":
        return _grid(search.parameters, number)
    finished = [one for one in seen if one.objective is not None]
    if search.strategy == "Bayesian" and len(finished) >= STARTING_TRIALS:
        return _modelled(search, number, seen)
    chance = random.Random(f"{search.seed}/{number}")
    return {one.name: one.text_at(chance.random()) for one in search.parameters}


def grid_size(parameters: Sequence[Parameter]) -> int:
    """How many trials a grid has."""
    size = 1
    for one in parameters:
        assert isinstance(one, Categorical)  # noqa: S101 - checked when the job was made
        size *= len(one.values)
    return size


def check_optimizer() -> None:
    """Makes sure that Bayesian optimization can be done.

    Raises:
        NoOptimizerError: its library is not installed.
    """
    try:
        import optuna  # noqa: F401 - heavy, and only needed here
    except ImportError:
        raise NoOptimizerError(
            "the strategy `Bayesian` needs a library that is not installed"
            "\nhint: `pip install 'intermodal-engine[tuning]'`, or tune with the strategy `Random`"
        ) from None


def _grid(parameters: Sequence[Parameter], number: int) -> Values | None:
    if number >= grid_size(parameters):
        return None
    words = [one.values for one in parameters if isinstance(one, Categorical)]
    chosen = next(itertools.islice(itertools.product(*words), number, None))
    return {one.name: value for one, value in zip(parameters, chosen, strict=True)}


def _modelled(search: Search, number: int, seen: Sequence[Seen]) -> Values:
    """By a tree-structured Parzen estimator, in which running trials count as bad ones."""
    check_optimizer()
    import optuna
    from optuna.trial import TrialState, create_trial

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    unit = optuna.distributions.FloatDistribution(0.0, 1.0)
    space: dict[str, optuna.distributions.BaseDistribution] = {
        one.name: optuna.distributions.CategoricalDistribution(one.values)
        if isinstance(one, Categorical)
        else unit
        for one in search.parameters
    }
    sampler = optuna.samplers.TPESampler(
        seed=random.Random(f"{search.seed}/{number}").getrandbits(32),
        n_startup_trials=1,
        multivariate=True,
        constant_liar=True,
    )
    directions = optuna.study.StudyDirection
    direction = directions.MAXIMIZE if search.is_maximized else directions.MINIMIZE
    study = optuna.create_study(direction=direction, sampler=sampler)
    for one in seen:
        places = _places(search.parameters, one.values)
        if places is None or (one.objective is None and not one.is_running):
            continue
        state = TrialState.RUNNING if one.objective is None else TrialState.COMPLETE
        study.add_trial(
            create_trial(state=state, value=one.objective, params=places, distributions=space)
        )
    asked = study.ask(space).params
    return {
        one.name: asked[one.name]
        if isinstance(one, Categorical)
        else one.text_at(float(asked[one.name]))
        for one in search.parameters
    }


def _places(parameters: Sequence[Parameter], values: Values) -> dict[str, float | str] | None:
    """A trial's values for the optimizer; None if one is outside of what is searched now."""
    places: dict[str, float | str] = {}
    for one in parameters:
        place = one.place_of(values.get(one.name, ""))
        if place is None:
            return None
        places[one.name] = values[one.name] if isinstance(one, Categorical) else place
    return places
