"""Shapes that rooms share: what a plugin is, what travels from providers to workers. No behaviour but defaults."""
