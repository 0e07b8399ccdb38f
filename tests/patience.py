"""How long a test waits for what must come. It only guards against hanging: no test asserts a time."""

PATIENCE = 600  # seconds; generous, because a busy machine is no failure
