"""The step of `edgevit diff`: one file against its model, layer by layer."""
