"""MIL operations on PyTorch tensors, one subject per file.

Each function computes one operation of Core ML's Model Intermediate Language as its operator set defines it; the names
of arguments and their defaults are those of the set, which a program relies on where it leaves one out. The
definitions: https://apple.github.io/coremltools/source/coremltools.converters.mil.mil.ops.defs.html, and for iOS 16 to
18 the modules ios16, ios17 and ios18 beside it. Tensors have the shapes of the program, batch 1 included.
"""
