"""Makes renditions: small upright pictures without metadata, from untrusted originals.

Every decoder runs in a process of its own (`worker.py`) that holds no credentials, writes no files and
requests the bytes it needs from the parent. A crash, an endless computation or a memory bomb costs that
process and that one item. `renderer.py` is the parent's side, and the only module that callers import. This
package itself stays empty so that the decoder processes start fast and small.
"""
