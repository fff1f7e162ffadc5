"""The contract: the three resources, their conditions and reasons.

Pure: no clock, no I/O, no Kubernetes client. ``headrace.api.crd`` turns the models into ``crds/*.yaml``;
the operator and the worker image parse with the same models.
"""
