"""COCO's JSON files (cocodataset.org, "Data format"): annotations, results and detections, checked as they are read."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, FiniteFloat, TypeAdapter, ValidationError

from studykit.files import read_json, refuse

_Length = Annotated[FiniteFloat, Field(gt=0)]


class Image(BaseModel):
    """A picture of an annotation file."""

    id: int
    file_name: str = ""
    width: int
    height: int


class Annotation(BaseModel):
    """A person of an annotation file; px."""

    id: int
    image_id: int
    category_id: int = 1
    keypoints: list[FiniteFloat]
    bbox: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat] | None = None
    area: float | None = None
    iscrowd: int = 0
    num_keypoints: int | None = None
    segmentation: Any = None

    @property
    def labelled(self) -> bool:
        """Whether it is one person and says of some keypoint where it is."""
        return not self.iscrowd and self.num_keypoints != 0


class Category(BaseModel):
    """What annotations are of."""

    id: int
    keypoints: tuple[str, ...] = ()


class Annotations(BaseModel):
    """An annotation file."""

    images: list[Image]
    annotations: list[Annotation]
    categories: list[Category]

    @property
    def keypoints(self) -> tuple[str, ...]:
        """Names, of the first category that has any."""
        return next((category.keypoints for category in self.categories if category.keypoints), ())


class Pose(BaseModel):
    """A person of a results file; keypoints are x, y, px, and visibility or confidence."""

    image_id: int
    category_id: int = 1
    keypoints: list[FiniteFloat]
    score: FiniteFloat


class Detection(BaseModel):
    """A box of a results file: x, y, width and height, px."""

    image_id: int
    category_id: int
    bbox: tuple[FiniteFloat, FiniteFloat, _Length, _Length]
    score: FiniteFloat


def annotations_of(source: dict | str | Path, what: str = "annotations") -> Annotations:
    """An annotation file, or its content, which messages call `what`.

    Raises
    ------
    ValueError
        If it is half-written or of another schema, names no keypoints, or annotates unknown images or other numbers of
        keypoints.
    """
    name, found = _checked(Annotations, source, what)
    images, names = {image.id for image in found.images}, found.keypoints
    if not names:
        raise ValueError(f"{name}: expected a category with keypoints, got none; take a person_keypoints file")
    faults, numbers = [], 3 * len(names)
    for row in found.annotations:
        if row.image_id not in images:
            faults.append(f"annotation {row.id}: expected one of the file's images, got {row.image_id}")
        if row.labelled and len(row.keypoints) != numbers:
            faults.append(f"annotation {row.id}: expected {numbers} numbers for keypoints, got {len(row.keypoints)}")
    if not any(row.labelled and any(row.keypoints[2::3]) for row in found.annotations):
        faults.append("expected at least one person with keypoints, got none")
    refuse(name, faults)
    return found


def results_of(source: list | str | Path, row: type[BaseModel] = Pose) -> list:
    """A results file, or its content; `row` is `Pose` or `Detection`.

    Raises
    ------
    ValueError
        If it is half-written or of another schema.
    """
    return _checked(list[row], source, "results")[1]


def source_name(source: Any, otherwise: str) -> str:
    """What messages call a source: its path, or for content another name."""
    return str(source) if isinstance(source, str | Path) else otherwise


def _checked(schema, source, what):
    """What to call a source in messages, and its content, read if it is a file."""
    name, content = source_name(source, what), source
    if isinstance(source, str | Path):
        if not Path(source).is_file():
            raise FileNotFoundError(f"{name}: expected a COCO JSON file with the {what}, got none; check its name")
        content = read_json(Path(source), "write it again")
    try:
        return name, TypeAdapter(schema).validate_python(content)
    except ValidationError as error:
        refuse(f"{name}: expected a COCO file of {what} (cocodataset.org)", [_told(fault) for fault in error.errors()])


def _told(fault):
    """A fault that pydantic found, in a sentence: where, what was expected, what came."""
    missing = fault["type"] == "missing"
    place = fault["loc"][:-1] if missing else fault["loc"]
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
    got = type(fault["input"]).__name__ if isinstance(fault["input"], list | dict) else repr(fault["input"])
    said = f"{fault['msg'].replace('Input should be', 'expected')}, got {got}"
    return ": ".join(filter(None, [where, f"expected {fault['loc'][-1]}, got none" if missing else said]))
