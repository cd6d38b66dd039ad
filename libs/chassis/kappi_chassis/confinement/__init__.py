"""Confinement of a process that works on files that are not trusted.

`confine.py` says what holds afterwards. The numbers are those of the kernel's headers, written by hand: no
kept package on PyPI brings libseccomp, and Landlock is two calls. Standard library only.
"""
