"""The checks of `edgevit gate`: what shipped against what is to ship."""
