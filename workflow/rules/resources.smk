"""What jobs ask for, see docs/scaling.md. No rules. Change it for one run with --set-resources, not here."""

from maskmill.dag.resources import Estimator

ESTIMATOR = Estimator(CONFIG, Path(f"results/{DATASET}"), gpu=GPUS > 0)


def memory(rule_name, pictures=lambda wildcards: ()):
    """Resource function: megabytes of a rule's job, more at each attempt.

    pictures: files of a job that is about pictures of no data set.
    """

    def megabytes(wildcards, attempt):
        return ESTIMATOR.memory_mb(rule_name, dict(wildcards.items()), pictures(wildcards), attempt)

    return megabytes


def minutes(rule_name, pictures=lambda wildcards: ()):
    """Resource function: minutes of a rule's job, as many more at each attempt; pictures as in `memory`."""

    def limit(wildcards, threads, attempt):
        return ESTIMATOR.minutes(rule_name, dict(wildcards.items()), pictures(wildcards), threads, attempt)

    return limit


def new_pictures_of(wildcards):
    """Files of a shard of new pictures."""
    return new_pictures()[wildcards.shard].files.values()


def pictures_to_propose_of(wildcards):
    """Files of a shard of pictures that proposals are drawn for."""
    return pictures_to_propose()[wildcards.shard].values()
