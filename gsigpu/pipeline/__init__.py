"""The shell: read, compute, write, in bounded memory."""
