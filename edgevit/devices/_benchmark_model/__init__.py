"""LiteRT's `benchmark_model`: latency, operators and outputs of .tflite files on a phone that has no Python.

The user names the program with `--runner FILE`; Google publishes it for Android as
https://storage.googleapis.com/litert/binaries/latest/android_arm64/benchmark_model. There are two of that name: the
interpreter's (`tflite/tools/benchmark` in https://github.com/google-ai-edge/LiteRT) can dump outputs and writes the
operators' times as a message; CompiledModel's (`litert/tools`), which is the one published now, has neither and prints
a table. Its `--help` says which flags it has, and nothing is asked of it that it does not have.

It was never run with Google's program here, which cannot be had in the place where edgevit is tested: everything about
flags, messages and what is printed is read from the sources named in the modules, and tested against a stand-in.
"""
