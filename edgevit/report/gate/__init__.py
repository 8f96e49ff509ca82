"""What `edgevit gate` found, for people and for programs of CI: one module per form."""
