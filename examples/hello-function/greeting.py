"""What the function says."""


def of(name):
    return f"Hello, {name}!"
