"""The pure library: transcripts in, stated motives out. No web, no Label Studio, no module state."""
