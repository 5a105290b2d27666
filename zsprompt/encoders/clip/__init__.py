"""CLIP: OpenAI's checkpoints, the small model that is shipped, and the text tower over a token trie."""
