"""Confinement of a process that works on untrusted files.

`confine.py` describes the result. The numbers are those of the kernel's headers, written by hand: no
maintained package on PyPI contains libseccomp, and Landlock is two calls. Standard library only.
"""
