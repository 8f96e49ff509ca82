"""The models of the zoo, and the page that its results become."""
