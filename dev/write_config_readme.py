"""Write config/README.md from workflow/schemas/config.schema.yaml. Run by `make docs`; a test keeps it in step."""

from pathlib import Path

import yaml

from maskmill.dag.configuration import option_rows

ROOT = Path(__file__).parents[1]

HEAD = """\
# Configuration

Copy `config.yaml`, change what you need, and run `snakemake --cores all --configfile my.yaml`. A value is looked up in
this order: `--config` on the command line, your config file(s), the preset, the defaults below. `config.yaml` itself is
the demo's and is read only when no `--configfile` is given, so that nothing of the demo leaks into your run. An unknown
key stops the run and names the nearest known one.

Mappings are merged key by key; lists, and `dataset.classes`, are replaced whole. `experiments` are sets of overrides of
`model`, `loss`, `augment`, `train`, `predict` and `postprocess`. Nested values do not survive `--config` well (they
arrive as text): prefer files.

The presets in `presets/` hold the hyper-parameters for a kind of picture; ready data sets are in `datasets/`.
This page is written from the schema by `make docs`.

| option | values | default | meaning |
|---|---|---|---|
"""


def render() -> str:
    """The whole page."""
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))
    rows = (
        " | ".join([f"`{name}`", values, default, meaning]) for name, values, default, meaning in option_rows(schema)
    )
    return HEAD + "".join(f"| {row} |\n" for row in rows)


if __name__ == "__main__":
    (ROOT / "config/README.md").write_text(render(), encoding="utf-8")
