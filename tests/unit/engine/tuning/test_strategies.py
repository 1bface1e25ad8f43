"""Proposals: all of a grid, chance that repeats itself, and a model that finds the best."""

from collections.abc import Callable
from statistics import fmean

import pytest

from intermodal_engine.lifecycle.tuning.parameters import Categorical, Numeric, Parameter
from intermodal_engine.lifecycle.tuning.stopping import Resources, below_median, losers
from intermodal_engine.lifecycle.tuning.strategies import Search, Seen, Values, propose

X = Numeric("x", 0.0, 1.0)
KIND = Categorical("kind", ("good", "bad", "ugly"))


def search(strategy: str, *parameters: Parameter, is_maximized: bool = False) -> Search:
    return Search(strategy, parameters or (X, KIND), is_maximized, "seed")


def test_a_grid_is_each_combination_once_and_then_nothing() -> None:
    grid = search("Grid", Categorical("a", ("1", "2")), KIND)
    found = [propose(grid, number, []) for number in range(7)]
    assert found[6] is None
    assert len({tuple(one.items()) for one in found if one is not None}) == 6


def test_chance_repeats_itself_by_seed_and_number() -> None:
    first = [propose(search("Random"), number, []) for number in range(20)]
    assert first == [propose(search("Random"), number, []) for number in range(20)]
    assert len({str(one) for one in first}) == 20
    assert propose(Search("Random", (X,), False, "other"), 0, []) != first[0]


def tried(strategy: str, score: Callable[[Values], float], *, is_maximized: bool) -> list[float]:
    """The scores of forty trials."""
    one, seen = search(strategy, is_maximized=is_maximized), list[Seen]()
    for number in range(40):
        values = propose(one, number, seen)
        assert values is not None
        seen.append(Seen(values, score(values)))
    return [one.objective for one in seen if one.objective is not None]


def test_a_model_of_earlier_trials_is_better_than_chance() -> None:
    def loss(values: Values) -> float:
        return (float(values["x"]) - 0.3) ** 2 + (0.0 if values["kind"] == "good" else 0.2)

    by_chance = tried("Random", loss, is_maximized=False)
    by_model = tried("Bayesian", loss, is_maximized=False)
    assert fmean(by_model[20:]) < 0.8 * fmean(by_chance[20:])
    assert min(by_model) < min(by_chance)
    gained = tried("Bayesian", lambda values: -loss(values), is_maximized=True)
    assert fmean(gained[20:]) > 0.8 * -fmean(by_chance[20:])


def test_a_model_says_the_same_after_a_restart_and_heeds_what_runs() -> None:
    seen = [Seen({"x": str(n / 10), "kind": "good"}, n / 10) for n in range(8)]
    proposed = propose(search("Bayesian"), 8, seen)
    assert proposed == propose(search("Bayesian"), 8, list(seen))
    running = Seen({"x": "0.05", "kind": "good"}, None, is_running=True)
    assert propose(search("Bayesian"), 8, [*seen, running]) is not None


def test_trials_of_other_ranges_are_left_out() -> None:
    inside = [Seen({"x": str(n / 10), "kind": "good"}, n / 10) for n in range(6)]
    outside = [Seen({"x": "7.0", "kind": "good"}, 0.0), Seen({"kind": "good"}, 0.0)]
    assert propose(search("Bayesian"), 6, inside) == propose(
        search("Bayesian"), 6, [*inside, *outside]
    )


# Which trials are not worth finishing


def test_a_trial_is_ended_when_it_is_worse_than_the_median_of_the_others() -> None:
    others = [[1.0, 0.8, 0.6], [1.0, 0.7, 0.5], [1.0, 0.6, 0.4]]
    assert below_median([1.0, 0.95], others, is_maximized=False)
    assert not below_median([1.0, 0.5], others, is_maximized=False)
    assert below_median([1.0, 0.5], others, is_maximized=True)


def test_too_few_others_or_none_that_got_as_far_say_nothing() -> None:
    others = [[1.0], [1.0], [0.5, 0.4]]
    assert not below_median([9.0, 9.0], others, is_maximized=False)
    assert not below_median([], [[1.0]] * 5, is_maximized=False)


def test_hyperband_lets_one_in_three_go_on_at_each_rung_and_none_past_the_most() -> None:
    resources = Resources(1, 9)
    assert resources.rungs() == [1, 3]
    curves = {"a": [0.1], "b": [0.2], "c": [0.3], "d": [0.05, 0.04, 0.03]}
    running = list(curves)
    assert losers(curves, running, resources, is_maximized=False) == ["a", "b", "c"]
    assert losers(curves, running, resources, is_maximized=True) == ["a", "b", "d"]
    full = {"a": [0.1] * 9}
    assert losers(full, ["a"], resources, is_maximized=False) == ["a"]


@pytest.mark.parametrize("count", [1, 2])
def test_hyperband_ends_none_of_too_few(count: int) -> None:
    curves = {str(number): [float(number)] for number in range(count)}
    assert losers(curves, list(curves), Resources(1, 27), is_maximized=False) == []
