"""Certificates from an ACME authority (RFC 8555): what is wanted, how it is proved, where it is kept."""
