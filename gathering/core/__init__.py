"""The core: interfaces, messages and events, errors, registry, settings, and the flow of a turn with its two drivers.

Standard library only. Nothing here knows a provider, a tool, a database or a notebook.
"""

__all__: list[str] = []  # its modules are the doors
