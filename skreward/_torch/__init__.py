"""The only place that imports torch: networks, training, device.

Nothing outside imports this package before it is needed.
"""
