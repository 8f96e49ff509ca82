"""What the files of all three formats share: metadata, labels, preprocessing, weights as they are stored."""
