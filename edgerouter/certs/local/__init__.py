"""Certificates from an authority of our own: for ``*.localhost`` and names that no public authority certifies."""
