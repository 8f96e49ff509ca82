"""What makes a green verdict doubtful: preprocessing, labels, images that do not fit."""
