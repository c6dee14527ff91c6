"""Texts to embeddings: tables, language models, the cache."""
