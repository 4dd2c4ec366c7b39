"""DNS-01: who writes the TXT record. One file each; all block. Names and variables are lego's."""
