"""From a resource to the Kubernetes objects it wants: pure functions, one file per child kind.

No clock, no I/O, no Kubernetes client: the same call gives the same objects, so ``headrace plan`` can print them
offline and a golden file can hold them.
"""
