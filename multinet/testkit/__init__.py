"""What the tests of a delegate are written with: a throw-away node on the real kernel, and three hard questions.

Switch it on in the tests' ``conftest.py``::

    pytest_plugins = ["multinet.testkit.plugin"]

``bench`` is a node of its own (network namespaces that nobody else sees) with pods on it; ``bench.pod()`` runs
the verbs of a plugin in process. The questions, each a fixture that is called with a pod and a configuration:

``whichever_step_fails``   each message to the kernel is refused in turn: is everything as before?
``wherever_it_dies``       the process dies before each message: does a DEL with no record leave nothing?
``every_field_is_checked`` each field of the desired state is made untrue: does CHECK report it?

Needs pytest and root.
"""
