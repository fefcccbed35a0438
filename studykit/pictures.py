"""Photographs inside figures and notebooks kept small, so that a whole study fits on a web site."""

import base64
import io
import re

from PIL import Image

_LIGHT = 60_000  # bytes; smaller ones stay as they are


def lighter_png(png):
    """A PNG (bytes) with the 256 colours that suit it best; a small one as it is."""
    if len(png) < _LIGHT:
        return png
    with Image.open(io.BytesIO(png)) as picture:
        reduced, dpi = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE), picture.info.get("dpi")
    reduced.save(lighter := io.BytesIO(), "PNG", optimize=True, dpi=dpi)
    return min(lighter.getvalue(), png, key=len)


def lighter_svg(svg):
    """An SVG (bytes) with JPEG for every opaque picture inside, where that is smaller."""
    return re.sub(rb"data:image/png;base64,([A-Za-z0-9+/=\s]+)", _as_jpeg, svg)


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
    picture.convert("RGB").save(jpeg, "JPEG", quality=85)
    smaller = len(jpeg.getvalue()) < len(png)
    return b"data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()) if smaller else found[0]
