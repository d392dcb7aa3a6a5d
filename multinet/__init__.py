"""multinet gives a pod more than one network interface: a CNI meta-plugin with its delegates."""

__version__ = "0.1.0"
