"""Encodings of text files: which one somebody may name, and which one would fit a file.

A guess is only ever told: bytes say nothing for certain, and nothing is read by a guess.
"""

from __future__ import annotations

import codecs
import re
from encodings import aliases, normalize_encoding
from itertools import pairwise
from pathlib import Path

from archspec.errors import Problem, UsageError, did_you_mean

_NO_TEXT = frozenset(
    ("base64_codec", "bz2_codec", "hex_codec", "mbcs", "quopri_codec", "rot_13", "uu_codec",
     "zlib_codec")
)  # fmt: skip
_NAMES = frozenset(aliases.aliases.values()) - _NO_TEXT | {"utf_8_sig", "koi8_u", "cp720"}
_MARKS = (  # the longer ones first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_SAMPLE = 2_000_000  # bytes
_LINES = 2_000  # with bytes beyond ASCII
_FITS = 0.8  # of the characters beyond ASCII must be usual ones


def checked_encoding(name: object) -> str:
    """An encoding's name as Python knows it; ``utf-8-sig`` for UTF-8, whose mark is no text.

    Raises:
        UsageError: E801, there is no such encoding.

    >>> checked_encoding("CP1252"), checked_encoding("utf-8")
    ('cp1252', 'utf-8-sig')
    """
    known = ("utf-8", "utf-16", "cp1252", "latin-1", "cp1251", "shift_jis", "gb18030", "euc_kr")
    if isinstance(name, str) and len(name) < 40 and name.isascii():
        plain = normalize_encoding(name).lower()
        plain = aliases.aliases.get(plain, plain)
        if plain in _NAMES:
            return "utf-8-sig" if plain in ("utf_8", "utf_8_sig") else codecs.lookup(plain).name
    hint = did_you_mean(str(name)[:40], known) or f"such as {', '.join(known)}"
    raise UsageError(Problem("E801", f"no encoding is called {str(name)[:40]!r}", hint=hint))


def marked_encoding(path: Path) -> str | None:
    """UTF-16 or UTF-32, if the file begins with the mark of one or has a zero in every other byte.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(400)
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    zeros = [sum(not byte for byte in start[i::2]) for i in (0, 1)]
    if max(zeros) > len(start) / 5 and not min(zeros):
        return "utf-16-be" if zeros[0] else "utf-16-le"
    return None


def fitting_encoding(path: Path) -> tuple[str, str] | None:
    """The encoding that a file which is not UTF-8 seems to have, and a few words read with it.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        lines = file.read(_SAMPLE).splitlines()
    data = b"\n".join([line for line in lines if not line.isascii()][:_LINES])
    scores = {name: score for name in _USUAL if (score := _score(data, name)) >= _FITS}
    if not scores:
        return None
    best = max(scores, key=lambda name: scores[name])
    return best.replace("_", "-"), _example(data.decode(best, "replace"))


def _score(data: bytes, name: str) -> float:
    """The share of usual ones among the characters beyond ASCII; 0 if it is not this encoding."""
    try:
        text = data.decode(name)
    except UnicodeDecodeError:
        return 0.0
    if name in ("cp1251", "koi8_r") and not _has_common_letters(text):
        return 0.0
    found = usual = 0
    for part in re.findall(r"[^\W\d_]+|\W|\d|_", text):  # words, and what is between them
        is_mixed = part.isalpha() and any(map(str.isascii, part))
        is_latin = is_mixed or len(part) == 1
        fits = name in _WITHOUT_SPACES or not part.isalpha() or is_latin == (name in _LATIN)
        fits = fits and not any(
            a.islower() and b.isupper() and not b.isascii() for a, b in pairwise(part)
        )
        letters = [letter for letter in part if letter >= "\x80"]
        found += len(letters)
        usual += fits * sum(_is_usual(letter, name) for letter in letters)
    return usual / found if found else 0.0


def _has_common_letters(text: str) -> bool:
    """Russian's six most frequent letters are nearly half of it; of Hebrew's bytes a quarter."""
    letters = [letter for letter in text.lower() if "а" <= letter <= "я"]
    return sum(letter in "оеаинт" for letter in letters) > 0.3 * len(letters)


def _is_usual(letter: str, name: str) -> bool:
    if letter in _PUNCTUATION or letter in _USUAL[name]:
        return True
    if name == "euc_kr":
        return "가" <= letter <= "힣"
    if name in ("cp932", "euc_jp"):
        return "ぁ" <= letter <= "ヿ" or ("一" <= letter <= "龥" and _lead(letter, "euc_jp", 0xCF))
    if name in ("gb18030", "big5"):
        plain, last = ("gb2312", 0xD7) if name == "gb18030" else ("big5", 0xC6)
        return "一" <= letter <= "龥" and _lead(letter, plain, last)
    return False


def _lead(letter: str, encoding: str, last: int) -> bool:
    """Whether it is one of the common ideographs, which these tables have in front."""
    try:
        return letter.encode(encoding)[0] <= last
    except UnicodeEncodeError:
        return False


_PUNCTUATION = frozenset("’‘“”„–—…€£§°«»·•©®™ 、。「」，！？：；（）《》")
_LATIN = ("cp1252", "cp1250", "cp1254", "mac_roman")
_WITHOUT_SPACES = ("euc_kr", "gb18030", "euc_jp", "cp932", "big5")
_USUAL: dict[str, frozenset[str]] = {  # of several that fit alike, the first
    **dict.fromkeys(_WITHOUT_SPACES, frozenset[str]()),
    "cp1252": frozenset("àáâãäåæçèéêëìíîïñòóôõöøùúûüýßœÀÁÂÄÅÆÇÈÉÊËÍÎÑÓÔÖØÚÜŒ¿¡ºª½²"),
    "cp1250": frozenset("ąćęłńóśźżčďěňřšťůžáéíúýôöüőűäłŁŚŻČŘŠŽÁÉÍÓÖÜâîşţ"),
    "cp1251": frozenset("абвгдежзийклмнопрстуфхцчшщъыьэюяёіїєґАВБГДЕИКМНОПРСТЭЧЯ№"),
    "koi8_r": frozenset("абвгдежзийклмнопрстуфхцчшщъыьэюяёАВБГДЕИКМНОПРСТЭЧЯ"),
    "cp1253": frozenset("αβγδεζηθικλμνξοπρστυφχψωςάέήίόύώΑΒΓΔΕΗΘΙΚΛΜΝΟΠΡΣΤΥΦ"),
    "cp1254": frozenset("çğıöşüÇĞİÖŞÜâîû"),
    "cp1255": frozenset(map(chr, range(0x5D0, 0x5EB))),
    "cp1256": frozenset(map(chr, range(0x621, 0x64B))),
    "cp874": frozenset(map(chr, range(0xE01, 0xE5B))),
    "mac_roman": frozenset("àáâäçèéêëîïñóôöùûüßÀÉÖÜœ"),
}  # fmt: skip


def _example(text: str) -> str:
    """Words around the first that is not ASCII."""
    words = text.split()
    at = next((i for i, word in enumerate(words) if not word.isascii()), 0)
    return " ".join(words[max(at - 2, 0) : at + 3])[:60]
