"""A text as DICOM's Long String."""

_LONGEST_TEXT = 64  # characters of a Long String, LO


def long_string(text: str) -> str:
    r"""A text as a Long String may hold it: 64 characters, no backslash, which would part two values, no control character.

    >>> long_string("scar\\left\n lobe")
    'scar/left lobe'
    """
    plain = "".join(letter if letter.isprintable() else " " for letter in text.replace("\\", "/"))
    return " ".join(plain.split())[:_LONGEST_TEXT]
