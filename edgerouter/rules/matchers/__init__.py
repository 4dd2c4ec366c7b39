"""One matcher a file: what it accepts as arguments and when it is true."""
