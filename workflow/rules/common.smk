"""What all rules share: the resolved configuration, code digests, input functions, wildcard constraints. No rules."""

import csv
import json
import re
import shutil
import sys
from pathlib import Path

import yaml

# this workflow's own folder, also where another workflow uses it as a module
ROOT = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parents[1]
if not Path(ROOT, "maskmill").is_dir():
    raise WorkflowError(
        f"Maskmill's rules import the package beside them, which is not in {ROOT}; clone the repository and name the "
        "Snakefile of the clone (docs/environments.md)"
    )

from maskmill.dag.backends import plans_engines
from maskmill.dag.closing import closing_words, failure_words, segmentation_words
from maskmill.dag.codedigest import library_digest
from maskmill.dag.configuration import deep_merge, experiment_options, resolve_config, searches, segments_alone
from maskmill.dag.filesystems import store_words
from maskmill.dag.nodes import lonely_words
from maskmill.dag.object_store import see_new_folders
from maskmill.dag.searches import earlier_trials, trial_names
from maskmill.dag.sources import source_digest
from maskmill.errors import MaskmillError
from maskmill.lifeline import announce_run
from maskmill.steps import tried_areas

announce_run()
see_new_folders()


def load_yaml(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def load_config(given):
    """Schema defaults < preset < config file(s), or config/config.yaml where none is given < --config.

    Another workflow that uses this one as a module gives all of its config, so that the demo's is not read; nor is it
    where pictures are only to be segmented.
    """
    alone = segments_alone(given) or not workflow.modifier.is_main_snakefile()
    if not workflow.configfiles and not alone:
        given = deep_merge(load_yaml(ROOT / "config/config.yaml"), given)
    presets = {file.stem: load_yaml(file) for file in sorted((ROOT / "config/presets").glob("*.yaml"))}
    try:
        return resolve_config(given, presets, SCHEMA)
    except MaskmillError as error:
        words = [str(error)]
        if any(isinstance(value, (dict, list)) for value in workflow.config_settings.config.values()):
            words.append("Values within {} and [] that follow --config arrive as text: write them in a config file.")
        sys.exit("\n".join(words))


SCHEMA = load_yaml(ROOT / "workflow/schemas/config.schema.yaml")
CONFIG = load_config(config)
DATASET = CONFIG["dataset"]["name"]
SOURCE = {
    key: str(Path(CONFIG["dataset"]["source"]["root"], value)) if key in ("images", "annotations") else value
    for key, value in CONFIG["dataset"]["source"].items()
    if key != "root"
}
CLASSES = CONFIG["dataset"]["classes"]
LABELS = {key: CONFIG["dataset"][key] for key in ("classes", "background", "instances")}
LABELS["label_field"] = SOURCE.pop("label_field")
GROUPING = {
    key: CONFIG["dataset"]["split"].get(key) for key in ("group", "pattern", "slabs", "block", "table", "official")
}
AUDIT = {
    "scale": CONFIG["preprocess"]["scale"],
    "patch": CONFIG["train"]["patch"],
    "minimum_areas": tried_areas(CONFIG["postprocess"]["steps"]),
    "vertex_spacing": CONFIG["quality"]["vertex_spacing"],
}
EXPERIMENTS = list(CONFIG["experiments"])
SEARCHES = searches(CONFIG, SCHEMA)
FIRST_EXPERIMENT = EXPERIMENTS[0]
FOLDS = list(range(CONFIG["dataset"]["split"]["folds"]))
MEMBERS = [f"fold{fold}-seed{seed}" for fold in FOLDS for seed in CONFIG["seeds"]]
# of every member, in the order in which expand() gives members' files
PLANS = [f"<results>/experiments/{name}/plan/{member.split('-')[0]}.yaml" for name in EXPERIMENTS for member in MEMBERS]
# the name of all members together, where they are deployed as one model
ENSEMBLE = "ensemble"
DEPLOYS_ENSEMBLE = CONFIG["export"]["members"] == "all" and len(MEMBERS) > 1
PRECISIONS = list(dict.fromkeys(["fp32", *CONFIG["export"]["precisions"]]))
# the ONNX files of an experiment, and what they are tried and run with
EXPORTED = [
    f"<results>/experiments/{{experiment}}/export/model{'' if precision == 'fp32' else f'.{precision}'}.onnx"
    for precision in PRECISIONS
]
TRIED = {"precisions": PRECISIONS, "openvino": CONFIG["export"]["openvino"]}
# experiments whose bundles go to MLflow's model registry
REGISTERED = EXPERIMENTS if CONFIG["tracking"]["registry"] else []
GPUS = 1 if shutil.which("nvidia-smi") else 0
# in what TensorRT runs, by engines beside the ONNX files that they are built from
BUILDS_ENGINES = plans_engines(CONFIG["export"]["tensorrt"], GPUS > 0)
ENGINES = PRECISIONS if BUILDS_ENGINES else []
# where --use-conda runs what needs PyTorch, and what needs TensorRT too; relative to this folder
TRAINING_ENVIRONMENT = f"../../envs/{'training-cpu' if CONFIG['torch'] == 'cpu' else 'training'}.yaml"
ENGINE_ENVIRONMENT = "../../envs/tensorrt.yaml" if ENGINES else TRAINING_ENVIRONMENT
ENGINE_SOURCES = [file.replace(".int8.onnx", ".int8-symmetric.onnx") for file in EXPORTED]


wildcard_constraints:
    shard=r"\d+",
    experiment="|".join(map(re.escape, EXPERIMENTS)),
    member=rf"fold\d+-seed\d+|{ENSEMBLE}",
    fold=r"\d+",
    trial=r"\d{3}",
    split="validation|test",


def digest(rule_name):
    """Digest of the code behind a rule: its script, the library modules it imports, the lock."""
    return library_digest(ROOT / f"workflow/scripts/{rule_name}.py", ROOT, ROOT / "requirements/run.txt")


def state_folder(*parts):
    """Folder of what a killed job goes on from: no output, since Snakemake deletes the outputs of a job that fails."""
    return Path(CONFIG["state"] or "", f"results/{DATASET}", *parts).as_posix()


def split_table(wildcards):
    """The table of the split; nothing where it is missing, since indexing says so in plainer words than Snakemake."""
    table = CONFIG["dataset"]["split"].get("table")
    return [local(table)] if table and Path(table).is_file() else []


def shards(wildcards):
    """Names of the shards that hold samples, known once the samples are indexed."""
    with checkpoint_of("index_samples").get().output.manifest.open(encoding="utf-8", newline="") as manifest:
        return sorted({row["shard"] for row in csv.DictReader(manifest)})


def label_folders(wildcards):
    return expand("<results>/labels/{shard}", shard=shards(wildcards))


def hash_files(wildcards):
    return expand("<results>/hashes/{shard}.npz", shard=shards(wildcards))


def audit_folders(wildcards):
    return expand("<results>/quality/shards/{shard}", shard=shards(wildcards))


def cache_folders(wildcards):
    return expand("<results>/cache/{shard}", shard=shards(wildcards))


def shard_list(wildcards):
    """The list file of one shard, known once the samples are indexed."""
    checkpoint_of("index_samples").get()
    return f"<results>/shards/{wildcards.shard}.csv"


def options(wildcards, *sections):
    """Options of an experiment, only the sections that a rule depends on."""
    resolved = experiment_options(CONFIG, wildcards.experiment)
    return {section: resolved[section] for section in sections}


def training_options(wildcards):
    """What changes a trained model; the number of reading processes does not."""
    chosen = options(wildcards, "model", "loss", "augment", "train")
    del chosen["train"]["workers"]
    return chosen


def planning_options(wildcards):
    """What a plan goes by; another option must not write it anew, and a person's edits with it."""
    chosen = options(wildcards, "model", "loss", "train")
    planned = {
        "model": [name for name in chosen["model"] if name != "init"],
        "loss": ["class_weights"],
        "train": ["patch", "batch_size", "foreground", "optimizer", "ema", "precision"],
    }
    return {section: {name: chosen[section][name] for name in names} for section, names in planned.items()}


def searched(wildcards):
    """The options that a search found for an experiment; nothing where it has none."""
    chosen = f"<results>/experiments/{wildcards.experiment}/search/chosen.yaml"
    return [chosen] if wildcards.experiment in SEARCHES else []


def scores_of(wildcards, trials):
    """The scores of these trials of an experiment's search."""
    return expand(
        "<results>/experiments/{experiment}/search/{trial}/score.json", experiment=wildcards.experiment, trial=trials
    )


def earlier_scores(wildcards):
    """What a trial's options are suggested by."""
    return scores_of(wildcards, earlier_trials(wildcards.trial, SEARCHES[wildcards.experiment]["parallel"]))


def all_scores(wildcards):
    return scores_of(wildcards, trial_names(SEARCHES[wildcards.experiment]["trials"]))


def plan_of(wildcards):
    """The plan that a member is trained by."""
    return f"<results>/experiments/{wildcards.experiment}/plan/fold{fold_of(wildcards)}.yaml"


def compute_threads(wildcards):
    """Threads of a training's process, part of its numbers."""
    threads = experiment_options(CONFIG, wildcards.experiment)["train"]["threads"]
    return workflow.cores if threads == "auto" else threads


def training_cores(wildcards):
    """Cores of all processes that train together on a node."""
    return min(workflow.cores, compute_threads(wildcards) * training_devices(wildcards))


def training_devices(wildcards):
    return experiment_options(CONFIG, wildcards.experiment)["train"]["devices"]


def training_nodes(wildcards):
    return experiment_options(CONFIG, wildcards.experiment)["train"]["nodes"]


def training_tasks(wildcards):
    """SLURM's tasks of a training: one on each node where there are several, else none that is asked for."""
    nodes = training_nodes(wildcards)
    return nodes if nodes > 1 else 0


def training_gpus(wildcards):
    """GPUs of a training on one node; with several, `training_gres` asks for them."""
    return GPUS * training_devices(wildcards) if training_nodes(wildcards) == 1 else 0


def training_gres(wildcards):
    """GPUs on each of a training's nodes, in SLURM's words, where there are several; a number alone is that of all."""
    return f"gpu:{training_devices(wildcards)}" if GPUS and training_nodes(wildcards) > 1 else ""


def most_nodes():
    """The most nodes that a training of this run wants; 1 where nothing is trained."""
    trained = (job for job in workflow.dag.needrun_jobs() if job.rule.name in ("train_model", "run_trial"))
    return max((training_nodes(job.wildcards) for job in trained), default=1)


def fold_of(wildcards):
    """Fold of a member; of the ensemble the first, since all folds have the same test."""
    if wildcards.member == ENSEMBLE:
        return 0
    return int(wildcards.member.removeprefix("fold").split("-")[0])


def folds_of(wildcards):
    """Folds of a member, of the ensemble all of them."""
    return FOLDS if wildcards.member == ENSEMBLE else [fold_of(wildcards)]


def seed_of(wildcards):
    return int(wildcards.member.rsplit("seed", 1)[1])


def members_of(pattern):
    """Input function: `pattern` for every member of an experiment."""
    return lambda wildcards: expand(pattern, experiment=wildcards.experiment, member=MEMBERS)


def extra_of_members(pattern):
    """Input function: `pattern` for every member of an experiment where `evaluate.extra` names kinds, else nothing."""
    return members_of(pattern) if CONFIG["evaluate"]["extra"] else []


def trainings_of(pattern):
    """Input function: `pattern` for a member, for the ensemble for every member of it."""

    def resolve(wildcards):
        members = MEMBERS if wildcards.member == ENSEMBLE else [wildcards.member]
        return expand(pattern, experiment=wildcards.experiment, member=members)

    return resolve


def of_ensemble(pattern):
    """`pattern` with the ensemble of an experiment as member, where that is deployed, else nothing."""
    return expand(pattern, member=ENSEMBLE) if DEPLOYS_ENSEMBLE else []


def of_ensembles(pattern):
    """`pattern` for the ensemble of every experiment, where those are deployed, else nothing."""
    return expand(pattern, experiment=EXPERIMENTS, member=ENSEMBLE) if DEPLOYS_ENSEMBLE else []


def extra_of_ensemble(pattern):
    """`of_ensemble` where `evaluate.extra` names kinds, else nothing."""
    return of_ensemble(pattern) if CONFIG["evaluate"]["extra"] else []


def extra_of_deployed(pattern):
    """`pattern` for the members of every experiment, or its ensemble, where `evaluate.extra` names kinds."""
    if not CONFIG["evaluate"]["extra"]:
        return []
    return expand(pattern, experiment=EXPERIMENTS, member=ENSEMBLE if DEPLOYS_ENSEMBLE else MEMBERS)


def plan_of_ensemble(wildcards):
    """What says that an experiment's folds can be one model, where they are deployed as one."""
    plan = f"<results>/experiments/{wildcards.experiment}/plan/{ENSEMBLE}.json"
    return [plan] if DEPLOYS_ENSEMBLE and len(FOLDS) > 1 else []


def deployed(pattern):
    """Input function: `pattern` for what an experiment deploys, its best member on validation or the ensemble."""
    return expand(pattern, member=ENSEMBLE) if DEPLOYS_ENSEMBLE else best_member(pattern)


def deployed_trainings(pattern):
    """Input function: `pattern` for every member that an experiment deploys."""
    return expand(pattern, member=MEMBERS) if DEPLOYS_ENSEMBLE else best_member(pattern)


def engine_files(wildcards):
    """The engines of what an experiment deploys, their tags and what else they are built from, where they are."""
    if not ENGINES:
        return []
    built, sources = rules.build_tensorrt_engine.output, [file for file in ENGINE_SOURCES if file not in EXPORTED]
    return [*built.engines, *built.tags, *sources]


def engine_verdict(wildcards):
    """The verdict on the engines, where engines are built."""
    return rules.build_tensorrt_engine.output.verdict if ENGINES else []


def best_member(pattern):
    """Input function: `pattern` for the member of an experiment that is best on validation."""

    def resolve(wildcards):
        summary = checkpoint_of("summarize_experiment").get(experiment=wildcards.experiment).output.summary
        with summary.open(encoding="utf-8") as file:
            member = json.load(file)["best_member"]
        return expand(pattern, experiment=wildcards.experiment, member=member)

    return resolve


def last_words():
    """Where a person finds what was made."""
    segmented = [Path(f"results/{DATASET}/segmented", name) for name in ("masks", "masks.csv", "failed.csv")]
    if set(workflow.dag_settings.targets) == {"segment"} and all(place.exists() for place in segmented):
        return segmentation_words(*segmented)
    places = {
        "label audit": f"results/{DATASET}/quality/audit.html",
        "report": f"results/{DATASET}/report.html",
        "comparison": f"results/{DATASET}/comparison.html",
        "test masks": f"results/{DATASET}/runs/{FIRST_EXPERIMENT}/{MEMBERS[0]}/masks/test",
        "model bundle": f"results/{DATASET}/experiments/{FIRST_EXPERIMENT}/bundle",
        "new masks": f"results/{DATASET}/segmented/masks",
    }
    made_by = {
        "segment": [places["new masks"]],
        "labels": [f"results/{DATASET}/quality/audit.html", f"results/{DATASET}/splits.csv"],
        "compare": [places["comparison"]],
        "preannotate": [PROPOSALS],
        "annotate_images": [TO_ANNOTATE["annotations"]],
    }
    asked = [
        place for target in workflow.dag_settings.targets if target != "all" for place in made_by.get(target, [target])
    ]
    settings = workflow.storage_settings
    store = f"{settings.default_storage_prefix}/results/{DATASET}" if settings.default_storage_provider else ""
    return closing_words(places, asked, store)


onstart:
    if words := store_words(CONFIG["tracking"]["uri"]):
        print(f"WARNING: {words}", file=sys.stderr)
    if workflow.local_exec and (words := lonely_words(most_nodes())):
        raise WorkflowError(words)


onsuccess:
    print(last_words())


onerror:
    print(failure_words(log))
