"""Names of files and folders that no system forbids, from text that others wrote."""

from __future__ import annotations

import re

# Devices of Windows, whatever follows the first dot, and the dot or space at the end that it drops (Microsoft, "Naming
# Files, Paths, and Namespaces").
_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(?=\.|$)", re.I
)
_END = re.compile(r"[. ]$")


def portable_name(name: str) -> str:
    """A name without separators, with the letter percent-escaped that some system would stumble at.

    Two names that differ stay different where a `%` in them was escaped before. Letters that no system allows in
    names are the caller's, who knows what stands for them.

    >>> portable_name("lesions"), portable_name("CON"), portable_name("aux.nii.gz"), portable_name("late.")
    ('lesions', '%43ON', '%61ux.nii.gz', 'late%2E')
    """
    name = _END.sub(lambda match: f"%{ord(match[0]):02X}", name)
    return f"%{ord(name[0]):02X}{name[1:]}" if _DEVICE.match(name) else name
