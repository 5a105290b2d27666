"""Heads trained on stored embeddings."""
