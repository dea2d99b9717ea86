"""The tables that commands write and read."""
