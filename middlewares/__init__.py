"""HTTP middlewares, one file each."""
