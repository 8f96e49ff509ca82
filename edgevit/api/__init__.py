"""The command line's commands as typed functions; `edgevit` hands them on."""
