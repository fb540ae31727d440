"""What a trial tries: Optuna's tree-structured Parzen estimator, asked anew from the scores of earlier rounds.

Nothing but the seed, the options and those scores goes into a suggestion, so that a search that was killed goes on as
it would have. Method: Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import create_trial

from maskmill.files import read_json
from maskmill.search.options import write_options

logger = logging.getLogger(__name__)

STARTUP = 8
"""Trials drawn at random before the estimator goes by scores."""

ATTEMPTS = 100
"""Suggestions asked for until one is none of the trials before; where there are few choices, many are."""

DIGITS = 3
"""Significant digits of numbers, so that people can read them."""

FAILED = 0.0
"""What the estimator takes for the score of a trial that has none: the least that an IoU can be."""


def suggest_trial(
    search: Mapping[str, Any], place: int, earlier: Sequence[str | PathLike], output: str | PathLike
) -> None:
    """Write the options of a trial, as the sections of a config.

    search: options (see `complete_search`) and seed. place: of the trial in its round, from 0. earlier: the score.json
    of all trials of earlier rounds, in their order.
    """
    scores = [read_json(file) for file in earlier]
    suggestions = suggest(search["options"], [(one["options"], one["score"]) for one in scores], search["seed"])
    for _ in range(place + 1):
        values = next(suggestions)
    logger.info("from %d earlier trials: %s", len(scores), values)
    write_options(output, values)


def suggest(
    spaces: Mapping[str, Mapping[str, Any]], earlier: Sequence[tuple[Mapping[str, Any], float | None]], seed: int
) -> Iterator[dict[str, Any]]:
    """Options of the trials of one round, without end; earlier: options and score of each trial before the round."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {name: _distribution(space) for name, space in spaces.items()}
    # of each round another seed, or its random draws would be those of the first
    sampler = optuna.samplers.TPESampler(seed=1000 * seed + len(earlier), n_startup_trials=STARTUP)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    tried = [_encoded(spaces, options) for options, _ in earlier]
    for params, (_, score) in zip(tried, earlier, strict=True):
        value = FAILED if score is None else score
        study.add_trial(create_trial(params=params, distributions=distributions, value=value))
    while True:
        for _ in range(ATTEMPTS):
            values = _decoded(spaces, study.ask(distributions).params)
            params = _encoded(spaces, values)
            if params not in tried:
                break
        tried.append(params)
        yield values


def _distribution(space: Mapping[str, Any]) -> BaseDistribution:
    if "choices" in space:
        return CategoricalDistribution([json.dumps(value) for value in space["choices"]])
    kind = IntDistribution if space["whole"] else FloatDistribution
    return kind(space["low"], space["high"], log=space["log"])


def _encoded(spaces: Mapping[str, Mapping[str, Any]], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as Optuna takes them: choices, which may be lists, as text."""
    return {name: json.dumps(values[name]) if "choices" in space else values[name] for name, space in spaces.items()}


def _decoded(spaces: Mapping[str, Mapping[str, Any]], params: Mapping[str, Any]) -> dict[str, Any]:
    """Values as a config has them, numbers with few digits."""
    values = {}
    for name, space in spaces.items():
        if "choices" in space:
            values[name] = json.loads(params[name])
        elif space["whole"]:
            values[name] = params[name]
        else:
            values[name] = min(max(float(f"{params[name]:.{DIGITS}g}"), space["low"]), space["high"])
    return values
