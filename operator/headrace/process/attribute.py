"""What a resource names as ``module:attribute``."""

from __future__ import annotations

import importlib
import sys
import traceback
from types import ModuleType
from typing import Any

from headrace.process.configuration import FatalConfigurationError


def load_attribute(field: str, path: str) -> tuple[ModuleType, Any]:
    """Import the module of *path* and find the attribute, None when it has none.

    Raises ``FatalConfigurationError``, naming *field* of the resource, when the module cannot be imported.
    """
    module_name, _, attribute = path.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise FatalConfigurationError(
            f"{field}: cannot import {module_name}: there is no module {error.name} in this image."
        ) from None
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise FatalConfigurationError(
            f"{field}: importing {module_name} failed: {type(error).__name__}: {error}"
            f" (in {where.filename}, line {where.lineno})."
        ) from error
    for name in attribute.split("."):
        found = getattr(found, name, None)
    return sys.modules[module_name], found
