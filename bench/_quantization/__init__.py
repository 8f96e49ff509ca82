"""The comparison of quantizers: ours, the peers', and the judge of both."""
