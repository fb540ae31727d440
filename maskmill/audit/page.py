"""The audit as a page: figures of every class, advice, and contact sheets to page through."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from maskmill.audit.objects import AuditOptions
from maskmill.audit.summary import percent, units
from maskmill.classes import Classes
from maskmill.files import atomic_path, read_json, read_table
from maskmill.labels.problems import read_problems
from maskmill.metrics import SIZE_BINS
from maskmill.wording import count_of, signed


def render_audit(
    dataset: str,
    classes: Sequence[str] | Mapping[str, str],
    summary: str,
    sheets: str,
    problems: str,
    training: Mapping[str, object],
    output: str,
) -> None:
    """Write the page `output`, which shows the pictures of the folder `sheets` beside it.

    classes: the option `dataset.classes`; summary: what `summarize_audit` wrote; problems: path of problems.csv, whose
    samples are not in it; training: fields of `AuditOptions`.
    """
    palette = Classes.from_config(classes)
    colours = [f"#{bytes(colour).hex()}" for colour in palette.shown_colours]
    content = read_json(summary)
    shown = read_table(Path(sheets) / "sheets.csv")
    crops = defaultdict(list)
    for row in read_table(Path(sheets) / "crops.csv"):
        crops[row["sheet"]].append(row)
    page = _environment().get_template("audit.html.jinja")
    sample, dot = units(content["pictures"], content["volumes"])
    text = page.render(
        dataset=dataset,
        sentence=headline(content),
        left_out=len({problem.id for problem in read_problems(problems) if problem.id}),
        summary=content,
        legend=dict(zip(palette.names, colours, strict=True)),
        bins=_size_headings(dot),
        what=sample,
        dot=dot,
        training=training,
        tiled=AuditOptions(**training).patch_sides is not None,
        sheets=[sheet | {"crops": crops[sheet["file"]]} for sheet in shown],
        remarks=[remark for remark in _all_remarks(content) if any(remark in sheet["remarks"] for sheet in shown)],
    )
    with atomic_path(output) as aside:
        aside.write_text(text, encoding="utf-8")


def headline(summary: Mapping) -> str:
    """The most important figures in a sentence or two."""
    objects = sum(figure["objects"] for figure in summary["classes"])
    lost = sum(figure["lost_objects"] for figure in summary["classes"])
    covered = percent(1 - summary["background_share"])
    sample, dot = units(summary["pictures"], summary["volumes"])
    cover, are = "covers" if objects == 1 else "cover", "is" if lost == 1 else "are"
    text = (
        f"{count_of(objects, 'object')} in {count_of(summary['pictures'], sample)} {cover} {covered} of the {dot}s; "
        f"{lost or 'none'} of them {are} lost on the way to the network."
    )
    if empty := len(summary["empty"]):
        text += f" {count_of(empty, sample)} {'has' if empty == 1 else 'have'} no class at all."
    return text


def _size_headings(dot: str) -> dict[str, str]:
    """Heading of each bin of sizes: its name and the size where it begins, of the first where it ends."""
    unit = "px" if dot == "pixel" else f"{dot}s"
    names, edges = list(SIZE_BINS), list(SIZE_BINS.values())
    headings = {name: f"{name} (from {low} {unit})" for name, low in SIZE_BINS.items()}
    return headings | {names[0]: f"{names[0]} (below {edges[1]} {unit})"}


def _all_remarks(summary: Mapping) -> list[str]:
    """Every remark on objects and pictures, for the filter."""
    found = {remark for figure in summary["classes"] for remark in figure["remarks"]}
    return [
        *sorted(found),
        "fills the picture",
        "looks inverted",
        "no class in the picture",
        "covered by other classes",
    ]


def _environment() -> Environment:
    environment = Environment(loader=PackageLoader("maskmill"), autoescape=True, undefined=StrictUndefined)
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters |= {"share": percent, "signed": signed}
    return environment
