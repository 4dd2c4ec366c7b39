"""Where accounts and certificates are kept: one file for each kind of storage, all of one shape (``storage``)."""
