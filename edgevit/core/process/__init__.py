"""Processes that run one step: started or forked, limited, watched, sandboxed, cleaned up after."""
