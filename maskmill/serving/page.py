"""The page: pictures in, masks on top of them, what the model is. It needs Streamlit (`maskmill[app]`).

Streamlit runs `show_page` from the top whenever somebody touches something; what takes long is kept by `Segmenter`.
"""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from maskmill.dag.pictures import IMAGE_SUFFIXES
from maskmill.deployment.bundle import load_bundle
from maskmill.errors import MaskmillError
from maskmill.inference.entropy import case_entropy
from maskmill.report.pictures import entropy_scale
from maskmill.serving.card import ModelCard, Rows, read_card
from maskmill.serving.drawing import draw_mask, draw_overlay, draw_uncertainty
from maskmill.serving.examples import draw_examples, read_examples
from maskmill.serving.segmenter import ClassArea, Prediction, Result, Segmenter, Upload

VIEWS = ("Overlay", "Side by side", "Picture", "Mask", "Uncertainty")

_STYLE = "<style>[data-testid=stMainBlockContainer] {padding-top: 2rem; padding-bottom: 3rem}</style>"
_EXAMPLE = "example: "
_FEW = 8
_MIME = {".png": "image/png", ".tif": "image/tiff"}
_FORMAT = {".png": "PNG", ".tif": "TIFF"}


def show_page(bundle: Path, threads: int, examples: Path | None = None) -> None:
    """Show the page of a bundle. examples: folder with pictures to try it with, None for drawn ones."""
    st.set_page_config(page_title="Maskmill", layout="wide")
    segmenter, card = _open(bundle, threads)
    st.html(_STYLE)
    st.header("Maskmill", anchor=False)
    st.caption(f"{plain(', '.join(segmenter.recipe.classes.names))} · {card.headline}")
    segment, model = st.tabs(["Segment", "Model"])
    with segment:
        chosen = _choose(segmenter, _admit_examples(segmenter, examples))
        if chosen:
            _show_picture(segmenter, chosen)
    with model:
        _show_card(card)


@st.cache_resource(show_spinner="Opening the bundle …")
def _open(bundle: Path, threads: int) -> tuple[Segmenter, ModelCard]:
    loaded = load_bundle(bundle)
    return Segmenter.of_bundle(loaded, threads), read_card(loaded)


@st.cache_resource(show_spinner="Fetching examples …")
def _admit_examples(_segmenter: Segmenter, folder: Path | None) -> dict[str, Upload]:
    """Examples by name; what cannot be segmented is none."""
    found = draw_examples(_segmenter.recipe) if folder is None else read_examples(folder)
    admitted = ((name, _admit(_segmenter, name, content)) for name, content in found.items())
    return {name: upload for name, upload in admitted if isinstance(upload, Upload)}


def _admit(segmenter: Segmenter, name: str, content: bytes) -> Upload | str:
    """A picture that was handed in, or what is wrong with it."""
    try:
        return segmenter.admit(name, content)
    except MaskmillError as error:
        return str(error)


def _choose(segmenter: Segmenter, examples: Mapping[str, Upload]) -> Upload | None:
    """Let people hand in pictures and choose one; tells what is wrong with the others."""
    left, right = st.columns([3, 2], gap="medium")
    with left:
        handed = st.file_uploader(
            "Pictures",
            type=[suffix[1:] for suffix in IMAGE_SUFFIXES],
            accept_multiple_files=True,
            key="uploads",
        )
        known = st.session_state.setdefault("admitted", {})
        admitted = {
            one.file_id: known.get(one.file_id) or _admit(segmenter, one.name, one.getvalue()) for one in handed
        }
        st.session_state["admitted"] = admitted
        for one in handed:
            if isinstance(reason := admitted[one.file_id], str):
                st.error(f"{plain(one.name)}: {plain(reason)}", icon=":material/error:")
    names = {one.file_id: one.name for one in handed if isinstance(admitted[one.file_id], Upload)}
    fresh = [identifier for identifier in names if identifier not in known]
    names |= {_EXAMPLE + name: name for name in examples}
    if not names:
        st.info("Hand in a picture to see its mask.", icon=":material/upload:")
        return None
    if fresh or st.session_state.get("chosen") not in names:
        st.session_state["chosen"] = fresh[0] if fresh else next(iter(names))
    with right:
        label = "Picture" if len(names) > len(examples) else "Examples"
        options = {"options": list(names), "format_func": names.get, "required": True, "key": "chosen"}
        chosen = st.pills(label, wrap=True, **options) if len(names) <= _FEW else st.selectbox(label, **options)
    return examples[names[chosen]] if chosen.startswith(_EXAMPLE) else admitted[chosen]


def _show_picture(segmenter: Segmenter, upload: Upload) -> None:
    """The picture with its mask, and beside it files, classes and thresholds."""
    left, right = st.columns([5, 2], gap="medium")
    try:
        with left, st.spinner("Segmenting …"):
            prediction = segmenter.predict(upload)
        with right:
            files = st.container()
            places, thresholds = _choose_thresholds(segmenter)
        result = _decide(segmenter, prediction, thresholds)
    except MaskmillError as error:
        left.error(f"{plain(upload.name)}: {plain(str(error))}", icon=":material/error:")
        return
    with left:
        if doubt := segmenter.recipe.preprocessing.doubt(prediction.pixels.dtype):
            st.warning(f"{plain(upload.name)}: {plain(doubt)}", icon=":material/warning:")
        _show_view(prediction, result)
    with files:
        _offer_files(result)
    for place, name, colour, area in zip(
        places, result.classes.names, result.classes.shown_colours, result.areas(), strict=True
    ):
        place.html(_legend(name, colour, area))


def _decide(segmenter: Segmenter, prediction: Prediction, thresholds: Sequence[float]) -> Result:
    """The mask at these thresholds, which is kept while only the view of it changes."""
    last: Result | None = st.session_state.get("result")
    same = last and last.prediction.upload is prediction.upload and last.thresholds == tuple(thresholds)
    result = last if same else segmenter.decide(prediction, thresholds)
    st.session_state["result"] = result
    return result


def _choose_thresholds(segmenter: Segmenter) -> tuple[list[DeltaGenerator], list[float]]:
    """A slider for each class and, above it, a place for the legend.

    A threshold that was not moved is the bundle's to the last digit.
    """
    names, packed = segmenter.recipe.classes.names, segmenter.recipe.point.thresholds
    initial = {
        f"threshold {name}": min(max(round(value, 2), 0.01), 0.99) for name, value in zip(names, packed, strict=True)
    }
    for key, value in initial.items():
        st.session_state.setdefault(key, value)
    st.subheader("Classes", anchor=False)
    st.caption("What each takes of the picture; below it, the probability from which on a pixel is of the class.")
    places, chosen = [], []
    for name, exact, (key, value) in zip(names, packed, initial.items(), strict=True):
        places.append(st.empty())
        moved = st.slider(f"Threshold of {plain(name)}", 0.01, 0.99, step=0.01, key=key, label_visibility="collapsed")
        chosen.append(exact if moved == value else moved)
    st.button(
        "The bundle’s thresholds",
        on_click=st.session_state.update,
        args=(initial,),
        disabled=chosen == list(packed),
        icon=":material/undo:",
    )
    return places, chosen


def _legend(name: str, colour: tuple[int, int, int], area: ClassArea) -> str:
    """A class with its colour and what it takes, as HTML."""
    swatch = f"background:#{bytes(colour).hex()};width:1em;height:1em;border-radius:.2em;flex:none"
    metres = "" if area.square_metres is None else f" · {show_metres(area.square_metres)}"
    return (
        f'<div style="display:flex;gap:.5em;align-items:baseline"><span style="{swatch};align-self:center"></span>'
        f'<b style="overflow-wrap:anywhere">{html.escape(name)}</b>'
        f'<span style="margin-left:auto;text-align:right;font-variant-numeric:tabular-nums">'
        f"{100 * area.share:.1f} % · {area.pixels:,} px{metres}</span></div>"
    )


def show_metres(area: float) -> str:
    """An area on the ground, such as "3,586 m²", "0.42 m²" or "12.3 km²"."""
    if area >= 1e6:
        return f"{area / 1e6:,.1f} km²"
    return f"{area:,.0f} m²" if area >= 10 or area == 0 else f"{area:.2g} m²"


def _show_view(prediction: Prediction, result: Result) -> None:
    view = st.segmented_control(
        "View", VIEWS, default=VIEWS[0], required=True, key="view", label_visibility="collapsed", wrap=True
    )
    picture, name = prediction.shown, prediction.upload.name
    labels, classes = result.labels, result.classes
    match view:
        case "Overlay":
            opacity = st.slider("Opacity of the mask", 0, 100, 40, format="%d %%", key="opacity")
            _image(draw_overlay(picture, labels, classes, opacity / 100), f"{name} with its mask on top")
        case "Side by side":
            for place, drawn, what in zip(
                st.columns(2, wrap=False), (picture, draw_mask(labels, classes)), ("picture", "mask"), strict=True
            ):
                with place:
                    _image(drawn, f"{what} of {name}")
        case "Picture":
            _image(picture, name)
        case "Mask":
            _image(draw_mask(labels, classes), f"mask of {name}")
        case _:
            _image(draw_uncertainty(prediction.probabilities), f"entropy of each pixel of {name}")
            _explain_uncertainty(prediction)


def _image(drawn: np.ndarray, alt: str) -> None:
    st.image(drawn, width="stretch", alt=alt)


def _explain_uncertainty(prediction: Prediction) -> None:
    colours = ", ".join(entropy_scale())
    st.html(
        '<div style="display:flex;gap:.75em;align-items:center"><span>sure</span>'
        f'<span style="flex:1;height:.75em;border-radius:.2em;background:linear-gradient(to right, {colours})"></span>'
        "<span>unsure</span></div>"
    )
    found = case_entropy(prediction.probabilities)
    confidence = f"Confidence {1 - found.mean:.2f}" if found.pixels else "Nothing here may be of a class"
    st.caption(
        f"{confidence}. The picture shows the entropy of each pixel’s probabilities, which thresholds do not change; "
        "the confidence is 1 minus its mean over the pixels that may be of a class."
    )


def _offer_files(result: Result) -> None:
    name = result.prediction.upload.name
    with st.container(horizontal=True):
        st.download_button(
            f"Mask ({_FORMAT[result.suffix]})",
            result.content,
            f"{name}{result.suffix}",
            _MIME[result.suffix],
            on_click="ignore",
            icon=":material/download:",
        )
        st.download_button(
            "Polygons (GeoJSON)",
            result.polygons,
            f"{name}.geojson",
            "application/geo+json",
            on_click="ignore",
            icon=":material/download:",
        )


def _show_card(card: ModelCard) -> None:
    for title, rows, note in (
        ("Test results", card.metrics, card.evidence),
        ("Classes", card.classes, ""),
        ("Pictures it is made for", card.data, ""),
        ("Where it comes from", card.provenance, ""),
    ):
        st.subheader(title, anchor=False)
        if note:
            st.caption(note)
        st.html(table(rows, header=rows is card.metrics or rows is card.classes))


def table(rows: Rows, header: bool) -> str:
    """Rows as an HTML table, which scrolls where the screen is too narrow; header: whether with the columns' titles."""
    cell = "padding:.3em 1em .3em 0;text-align:left;vertical-align:top;border-bottom:1px solid rgba(128,128,128,.3)"

    def line(tag: str, texts: Iterable[str]) -> str:
        return "<tr>" + "".join(f'<{tag} style="{cell}">{html.escape(text)}</{tag}>' for text in texts) + "</tr>"

    head = f"<thead>{line('th', rows[0])}</thead>" if header else ""
    body = "".join(line("td", row.values()) for row in rows)
    cells = f'<table style="border-collapse:collapse">{head}<tbody>{body}</tbody></table>'
    return f'<div style="overflow-x:auto">{cells}</div>'


def plain(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|~<>$:&])", r"\\\1", text)
