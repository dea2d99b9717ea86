"""From the bytes of files to headers, planes and pixels."""
