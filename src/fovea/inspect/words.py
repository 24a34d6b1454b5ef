"""Usual names: of parts of a split, of the columns of a label table, of what is not a class."""

import re

PARTS = {
    "train": "train", "training": "train", "trn": "train", "训练": "train", "训练集": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val", "验证": "val", "验证集": "val",
    "test": "test", "testing": "test", "tst": "test", "测试": "test", "测试集": "test",
}  # fmt: skip
# Columns, as `plain` writes them, the likelier first.
NAMES = ("idcode", "imageid", "imageidentifier", "image", "images", "imagename", "imgname", "imgid", "img", "isicid",
         "filename", "file", "filepath", "imagepath", "imgpath", "path", "imagefile", "picture", "photo", "name", "id",
         "图片", "图像", "文件名")  # fmt: skip
LABELS = ("diagnosis", "label", "labels", "level", "dx", "class", "target", "grade", "category", "classlabel",
          "classname", "drgrade", "retinopathygrade", "drlevel", "benignmalignant", "severity", "stage", "disease",
          "diagnostic", "y", "标签", "诊断", "类别", "分级")  # fmt: skip
GROUPS = ("patientid", "patient", "patientno", "patientnumber", "pid", "mrn", "subjectid", "subject", "participantid",
          "participant", "personid", "person", "caseid", "case", "lesionid", "lesion", "患者", "病人",
          "患者编号")  # fmt: skip
NO_LABELS = re.compile(r"age|sex|gender|eye|side|laterality|local|anatom|site|pred|prob|score|conf|fold|index"
                       r"|width|height|dxtype|camera|device|source|dataset|date|year|fovea|path$")  # fmt: skip
# Folders that hold neither a class nor a class's images only.
GENERIC = re.compile(r"(?i)^(images?|imgs?|masks?|labels?|annotations?|segmentations?|originals?|data|photos?|jpe?g|png"
                     r"|groundtruths?|图像|图片)$")  # fmt: skip
PERSON = r"patient|pat|subject|subj|participant|person|case|患者|病人"
OF_A_GROUP = re.compile(rf"(?i)^({PERSON}|lesion|eye|id|p|s)?[-_ ]*\d+$")
GRADED = re.compile(r"^\d$")  # folders 0 to 9 are grades, longer numbers are people
OF_A_GRADE = re.compile(r"(?i)(grade|class|level|stage|type|label|category|dr|amd|级|期)[-_ ]*$")
OF_A_PLACE = re.compile(r"(?i)^(hospital|cent(re|er)|clinic|site|camera|device|batch|fold|part|set|cohort|source)"
                        r"[-_ ]*(\d+|[a-z])?$")  # fmt: skip
NO_CLASS = {"img", "image", "images", "dsc", "photo", "scan", "isic", "fundus", "eye", "retina", "skin", "pic",
            "picture", "copy", "crop", "cropped", "l", "r", "left", "right", "od", "os", "ou", "p", "patient", "case",
            "subject", "id", "frame", "slice", "x", "y"}  # fmt: skip
NEGATIVE = {"0", "normal", "benign", "healthy", "negative", "neg", "no", "none", "control", "false", "absent", "nevus",
            "正常"}  # fmt: skip


def plain(name: str) -> str:
    """A column's name in lower case, letters and digits only."""
    return re.sub(r"[\W_]+", "", name.lower())


def words(name: str) -> list[str]:
    """The runs of letters in a name, camelCase taken apart: PALM-Training400 has PALM and Training."""
    return re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_A-Za-z]+", name)


def part_of(name: str) -> str | None:
    """The part of a split that a folder, file or value names: train, val, test, or None if it names none or several."""
    found = {PARTS[word.lower()] for word in words(name) if word.lower() in PARTS}
    return found.pop() if len(found) == 1 else None


def is_part(name: str) -> bool:
    """Whether a whole name means a part, as a folder of images or a value in a column does."""
    return name.strip().lower() in PARTS


def are_numbered(names: list[str]) -> bool:
    """Whether names differ in a number alone (images_part_1, images_part_2), and not as grades do (grade1, 0)."""
    stems = {re.sub(r"\d+$", "", name).lower() for name in names}
    different = len(stems) == 1 and stems != {""} and stems.isdisjoint(map(str.lower, names))
    return different and not OF_A_GRADE.search(stems.pop())


def is_of_a_group(name: str) -> bool:
    """Whether a folder is numbered as people are (patient7, 0012), not as grades are."""
    return bool(OF_A_GROUP.match(name)) and not GRADED.match(name)
