"""What worker processes do, one step per module; the flows call them by name through `edgevit.core.process.worker`."""
