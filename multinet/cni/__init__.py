"""The CNI specification as Python types, and the runtime library around it."""
