"""Sources of dynamic configuration, one file each; helpers that several share start with an underscore."""
