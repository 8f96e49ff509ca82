"""The exported program and what is known of it: sites, constants, edits, running it, its layout."""
