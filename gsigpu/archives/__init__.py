"""Zip and tar archives read as folders: nothing of them is written under a name."""
