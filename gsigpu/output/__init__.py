"""Output that is whole or not there, and that replaces nothing but what the same command wrote."""
