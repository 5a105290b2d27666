"""ConSE for photographs: the encoder, its classifiers, its sentence encoder and the table of classes."""
