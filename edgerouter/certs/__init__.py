"""Certificates of the control process: the store, what is read of them, keys of session tickets."""
