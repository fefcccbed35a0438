"""Figures and notebooks kept small, so that a whole study fits on a web site."""

import base64
import io
import re

from PIL import Image

_LIGHT = 10_000  # bytes; smaller ones stay as they are
_COLOURS = 96
_JPEG_QUALITY = 75


def lighter_png(png):
    """A PNG (bytes) with the colours that suit it best; a small one as it is."""
    if len(png) < _LIGHT:
        return png
    with Image.open(io.BytesIO(png)) as picture:
        reduced, dpi = picture.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE), picture.info.get("dpi")
    reduced.save(lighter := io.BytesIO(), "PNG", optimize=True, dpi=dpi)
    return min(lighter.getvalue(), png, key=len)


def lighter_svg(svg):
    """An SVG (bytes) with places to 0.01 pt, no indents, and JPEG for opaque pictures inside, where that is smaller."""
    svg = re.sub(rb">\s+<", b">\n<", re.sub(rb'\b[dxy]="[^"]*"', _shortened, svg))
    return re.sub(rb"data:image/png;base64,([A-Za-z0-9+/=\s]+)", _as_jpeg, svg)


def _shortened(found):
    return re.sub(rb"(\.\d\d)\d+", rb"\1", found[0]).replace(b" \n", b"")


def lighten(notebook):
    """Make the PNG pictures in a notebook's outputs lighter, in place.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                png = lighter_png(base64.b64decode(output.data["image/png"]))
                output.data["image/png"] = base64.b64encode(png).decode()


def _as_jpeg(found):
    png = base64.b64decode(found[1])
    picture, jpeg = Image.open(io.BytesIO(png)), io.BytesIO()
    if "A" in picture.mode and picture.getchannel("A").getextrema()[0] < 255:
        return found[0]
    picture.convert("RGB").save(jpeg, "JPEG", quality=_JPEG_QUALITY)
    smaller = len(jpeg.getvalue()) < len(png)
    return b"data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()) if smaller else found[0]
