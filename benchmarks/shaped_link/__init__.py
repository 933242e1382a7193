"""Every method between two network namespaces joined by an emulated link, and the simulator against it.

`direction.py` is the arithmetic of a link, `emulator.py` carries packets by it, `namespaces.py` makes the two ends,
`links.py` names the links, `device.py` decodes in one end, `comparison.py` bills what it did, `tables.py` prints.
"""
