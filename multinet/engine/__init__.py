"""One engine for every delegate: apply desired state (ADD), compare it (CHECK), remove it (DEL, GC), undo."""
