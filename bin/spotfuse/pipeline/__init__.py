"""All that knows the pipeline: its command line, steps, and the slice's folder."""
