"""What stands in a drawing."""

import xml.etree.ElementTree as ET

from backhand.plots import Drawing

SVG = "{http://www.w3.org/2000/svg}"


def words(drawing: Drawing) -> set[str | None]:
    """Its texts; it must be whole XML, and described by a sentence."""
    assert drawing.alt.endswith(".")
    return {element.text for element in ET.fromstring(drawing.svg).iter(f"{SVG}text")}


def count(drawing: Drawing, tag: str) -> int:
    """How many elements of a kind it has."""
    return len(list(ET.fromstring(drawing.svg).iter(SVG + tag)))
