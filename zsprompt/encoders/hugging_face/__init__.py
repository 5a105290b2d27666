"""The dual encoders of the transformers library, and names from Hugging Face that mean models of open_clip."""
