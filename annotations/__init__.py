"""The labels, the corpus, and how people and machines make it."""
