"""What the user asks for: the recipe, and the texts of the command line as values."""
