"""The REST service: transcripts in over HTTP, stated motives out. Imports the classifier and nothing else of this project."""
