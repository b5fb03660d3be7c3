"""Names of classes and settings in pictures: in any script for which a font is installed, and never as formulas."""

from typing import Any

from matplotlib import font_manager

LATIN = "DejaVu Sans"  # comes with matplotlib
OTHER_SCRIPTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei"),
    *("Microsoft YaHei", "SimHei", "Yu Gothic", "Malgun Gothic", "PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo"),
    *("Noto Sans Arabic", "Noto Sans Devanagari", "Noto Sans Thai", "Arial Unicode MS"),
)


def families() -> list[str]:
    """Fonts in which matplotlib looks for a sign, one after the other."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return [LATIN, *(name for name in OTHER_SCRIPTS if name in installed)]


ANY_NAME: dict[Any, Any] = {"font.family": families(), "text.parse_math": False}  # a dollar in a name is a dollar
