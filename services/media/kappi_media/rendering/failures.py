"""The failures of decoder processes, distinguished by their cause."""

from __future__ import annotations


class DecoderCrashed(Exception):
    """The decoder ended, or sent an invalid answer, during a job. If its process was new, the file is the
    cause.
    """


class DecoderUnavailable(Exception):
    """The decoder did not work for a reason outside the file, such as the machine or its operator."""


class DecoderNotStarted(DecoderUnavailable):
    """The decoder could not load what it needs for any file: a library is broken, or memory is too short."""


class DecoderLacksLibrary(DecoderUnavailable):
    """A library for one kind of file cannot be loaded. Files of other kinds are processed, so no request may
    wait for such a decoder for ever.
    """


class DecoderKilled(DecoderUnavailable):
    """The decoder was ended from outside, mostly because the machine was out of memory.

    A file can be the cause, so a caller that tries again counts the attempts.
    """


class DecoderStalled(DecoderUnavailable):
    """The decoder neither worked nor ended: it got no processor time, or hung. Each time costs minutes."""
