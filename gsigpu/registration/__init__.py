"""Two phases of one patient laid over each other, so that a mask of one phase can be measured in the other."""
