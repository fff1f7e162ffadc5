"""The ``headrace`` command; installed as ``kubectl-headrace`` too."""
