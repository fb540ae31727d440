"""Pictures beside the data set, to be segmented or annotated, which are known while planning. No rules."""

from functools import cache

from maskmill.annotating.session import list_pictures
from maskmill.dag.pictures import find_pictures
from maskmill.dag.sharding import deal_pictures, shard_count, shard_of


@cache
def new_pictures():
    """Pictures of segment.images by shard, known while planning: {shard: NewPictures}."""
    if CONFIG["segment"]["images"] is None:
        raise WorkflowError(
            "segment: say which pictures, with --config 'segment={images: FOLDER}' or in the config file"
        )
    images, masks = Path(CONFIG["segment"]["images"]).resolve(), Path(f"results/{DATASET}/segmented").resolve()
    if images.is_relative_to(masks) or masks.is_relative_to(images):
        raise WorkflowError(
            f"segment.images is {images}, but masks are written to {masks}; take the pictures elsewhere"
        )
    try:
        return deal_pictures(find_pictures([CONFIG["segment"]["images"]], masks))  # which a pattern may find again
    except MaskmillError as error:
        raise WorkflowError(str(error))


def segmented_folders(wildcards):
    return expand("<results>/segmented/shards/{shard}", shard=new_pictures())


def is_given(bundle):
    """Whether the config names a bundle that this workflow does not make."""
    return bundle is not None and not Path(bundle).resolve().is_relative_to(Path(f"results/{DATASET}").resolve())


def bundle_to_segment_with():
    bundle = CONFIG["segment"]["bundle"]
    return local(bundle) if is_given(bundle) else bundle or f"<results>/experiments/{FIRST_EXPERIMENT}/bundle"


def given_card():
    """What changes whenever a given bundle does, of which the folder's time may stay the same."""
    bundle = CONFIG["segment"]["bundle"]
    return local(f"{bundle}/bundle.json") if is_given(bundle) else []


if "images" in CONFIG["preannotate"]:
    TO_ANNOTATE = {
        "format": "labelme",
        "images": CONFIG["preannotate"]["images"],
        "annotations": CONFIG["preannotate"]["output"],
    }
else:
    TO_ANNOTATE = SOURCE
PROPOSALS = CONFIG["preannotate"].get("output", f"results/{DATASET}/proposals")


@cache
def pictures_to_propose():
    """Pictures that a bundle draws proposals for, by shard, known while planning: {shard: {id: file}}."""
    try:
        pictures = list_pictures(TO_ANNOTATE)
    except MaskmillError as error:
        raise WorkflowError(str(error))
    if TO_ANNOTATE["annotations"] != PROPOSALS:
        pictures = [picture for picture in pictures if not Path(picture.annotation).exists()]
    if not pictures:
        raise WorkflowError(
            f"preannotate: every picture below {TO_ANNOTATE['images']} has an annotation; name others with "
            "--config 'preannotate={images: FOLDER, output: FOLDER}'"
        )
    dealt = {}
    for picture in pictures:
        shard = shard_of(picture.id, shard_count(megapixels=0, samples=len(pictures)))
        dealt.setdefault(shard, {})[picture.id] = picture.image
    return dealt


def proposal_folders(wildcards):
    return expand("<results>/proposed/{shard}", shard=sorted(pictures_to_propose()))
