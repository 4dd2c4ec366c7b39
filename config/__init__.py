"""Configuration: static and dynamic models, decoding, labels. Pure: text and plain data in, models and problems out."""
