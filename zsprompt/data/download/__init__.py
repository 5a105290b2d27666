"""Official archives: a catalogue, and how to download, unpack and verify them."""
