"""What earlier runs made, kept on disk and found again by everything that it depends on."""
