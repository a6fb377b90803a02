"""GPU kernels of the methods, usable without the rest of the repository.

A kernel is two files. `<name>.py` says what is computed, checks what it is given, holds the plain reference that the
tests compare with, and calls the kernel; it needs PyTorch alone. `<name>_triton.py` holds the Triton kernels and what
launches them, and is imported where a kernel runs: on CUDA tensors (`kernels.dispatch.use_triton`).

Names in the Triton files: p_ pointer, s_ stride in elements, i_ index of a program, n_ number of, o_ offsets, m_ mask,
b_ block of values. Addresses are 64 bits wide.
"""
