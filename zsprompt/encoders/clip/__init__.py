"""CLIP: OpenAI's checkpoints, the small model in the package, and the text tower over a token trie."""
