"""Certificate store and ACME. Nothing here yet."""
