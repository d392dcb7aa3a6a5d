"""Boot safety: no pod of this node runs for long without the networks that it asks for, and unnoticed."""
