"""Official archives: what there is, how to fetch and unpack it, and whether it is whole."""
