"""Encodings of text files: valid names, and which encoding a file seems to have.

A guess only appears in messages: no file is read with a guessed encoding.
"""

from __future__ import annotations

import codecs
import contextlib
import re
from encodings import aliases, normalize_encoding
from itertools import pairwise
from pathlib import Path

from archspec.errors import Problem, UsageError, did_you_mean

_NOT_TEXT = frozenset(
    ("base64_codec", "bz2_codec", "hex_codec", "mbcs", "quopri_codec", "rot_13", "uu_codec",
     "zlib_codec")
)  # fmt: skip
_NAMES = frozenset(aliases.aliases.values()) - _NOT_TEXT | {"utf_8_sig", "koi8_u", "cp720"}
_MAX_BYTES = 2_000_000  # bytes
_MAX_LINES = 2_000  # with non-ASCII bytes
_MIN_SCORE = 0.8  # of the non-ASCII characters must be common ones


def checked_encoding(name: object) -> str:
    """Python's name of an encoding; ``utf-8-sig`` for UTF-8, so that a BOM is not read as text.

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


def utf8_example(path: Path) -> str:
    """A word that is not ASCII, of a file most of whose lines are UTF-8; "" if they are not.

    Raises:
        OSError: it cannot be read.
    """
    lines = _lines(path)
    read: list[str] = []
    for line in lines:
        with contextlib.suppress(UnicodeDecodeError):
            read.append(line.decode("utf-8-sig"))
    words = (word for line in read for word in re.findall(r"\w+", line) if not word.isascii())
    return next(words, "")[:40] if 2 * len(read) > len(lines) else ""


def _lines(path: Path) -> list[bytes]:
    """Lines of a file that are not ASCII, of its beginning."""
    with path.open("rb") as file:
        lines = file.read(_MAX_BYTES).splitlines()
    return [line for line in lines if not line.isascii()][:_MAX_LINES]


def fitting_encoding(path: Path) -> tuple[str, str] | None:
    """The encoding that a file which is not UTF-8 seems to have, and an example of its text.

    Raises:
        OSError: it cannot be read.
    """
    data = b"\n".join(_lines(path))
    scores = {name: score for name in _COMMON if (score := _score(data, name)) >= _MIN_SCORE}
    if not scores:
        return None
    best = max(scores, key=lambda name: scores[name])
    return best.replace("_", "-"), _example(data.decode(best, "replace"))


def _score(data: bytes, name: str) -> float:
    """The fraction of common characters among the non-ASCII ones; 0 if decoding fails."""
    try:
        text = data.decode(name)
    except UnicodeDecodeError:
        return 0.0
    if name in ("cp1251", "koi8_r") and not _has_common_letters(text):
        return 0.0
    total = common = 0
    for part in re.findall(r"[^\W\d_]+|\W|\d|_", text):  # words, and what is between them
        is_mixed = part.isalpha() and any(map(str.isascii, part))
        is_latin = is_mixed or len(part) == 1
        is_plausible = name in _WITHOUT_SPACES or not part.isalpha() or is_latin == (name in _LATIN)
        is_plausible = is_plausible and not any(
            a.islower() and b.isupper() and not b.isascii() for a, b in pairwise(part)
        )
        is_plausible = is_plausible and "ς" not in part[:-1]  # it ends words
        letters = [letter for letter in part if letter >= "\x80"]
        total += len(letters)
        common += is_plausible * sum(_is_common(letter, name) for letter in letters)
    return common / total if total else 0.0


def _has_common_letters(text: str) -> bool:
    """Six letters make up nearly half of Russian text, but a quarter of Hebrew read as Russian.

    Hebrew has 27 letters, so that the last ones of the Russian alphabet are missing there.
    """
    letters = [letter for letter in text.lower() if "а" <= letter <= "я"]
    if len(letters) > 100 and not any(letter >= "ы" for letter in letters):
        return False
    return sum(letter in "оеаинт" for letter in letters) > 0.3 * len(letters)


def _is_common(letter: str, name: str) -> bool:
    if letter in _PUNCTUATION or letter in _COMMON[name]:
        return True
    if name == "euc_kr":
        return "가" <= letter <= "힣"
    if name in ("cp932", "euc_jp"):
        return "ぁ" <= letter <= "ヿ" or (
            "一" <= letter <= "龥" and _is_common_ideograph(letter, "euc_jp", 0xCF)
        )
    if name in ("gb18030", "big5"):
        plain, last = ("gb2312", 0xD7) if name == "gb18030" else ("big5", 0xC6)
        return "一" <= letter <= "龥" and _is_common_ideograph(letter, plain, last)
    return False


def _is_common_ideograph(letter: str, encoding: str, last: int) -> bool:
    """Whether it is one of the common ideographs, which come first in these tables."""
    try:
        return letter.encode(encoding)[0] <= last
    except UnicodeEncodeError:
        return False


_PUNCTUATION = frozenset("’‘“”„–—…€£§°«»·•©®™ 、。「」，！？：；（）《》")
_LATIN = ("cp1252", "cp1250", "cp1254", "mac_roman")
_WITHOUT_SPACES = ("euc_kr", "gb18030", "euc_jp", "cp932", "big5")
_COMMON: dict[str, frozenset[str]] = {  # of several with the same score, the first
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
    """The words around the first that is not ASCII."""
    words = text.split()
    first = next((i for i, word in enumerate(words) if not word.isascii()), 0)
    return " ".join(words[max(first - 2, 0) : first + 3])[:60]
