"""What lets another workflow use this one as a module. No rules."""

from snakemake.checkpoints import Checkpoint


def refuse_moved_folders():
    """Stop where another workflow moves what rules write: folders that params and functions name would stay behind."""
    for kind in ("results", "logs", "benchmarks"):
        found = workflow.modifier.path_modifier.replace_prefix(workflow.pathvars.get(kind))
        if found != f"{kind}/{DATASET}":
            raise WorkflowError(
                f"Maskmill would write to {found} instead of {kind}/{DATASET}: take `prefix`, `replace_prefix` and "
                "`pathvars` out of the module and its config, or run it with --directory (docs/environments.md)"
            )


def checkpoint_of(rule_name):
    """A checkpoint, also where another workflow takes a rule alone (`use rule train_model from maskmill with`).

    The rule's namespace then has no checkpoints, but the rules of the module that were taken before.
    """
    return getattr(checkpoints, rule_name, None) or Checkpoint(getattr(rules, rule_name).rule, checkpoints)
