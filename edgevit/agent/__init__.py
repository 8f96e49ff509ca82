"""What runs on a device: it opens a file, feeds it, times and executes it, and says what the device is.

These modules are zipped into one file and pushed, so they need Python 3.8, its standard library, numpy and the runtime,
and nothing of edgevit. Everything above uses the same code on this computer: both compute alike.
"""
