"""gather -> plan -> execute: what stands, what should stand, and the writes between them.

``plan`` modules (one per resource kind) are pure and total; ``world`` does all input and output.
"""
