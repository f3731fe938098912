"""A service manager that an agent tells how it is."""
import socket


class Manager:
    """Its socket. Made before the agent starts."""

    def __init__(self, agent):
        self.path = f"{agent.folder}/notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(60)
        agent.environment = {"NOTIFY_SOCKET": self.path}

    def told(self, text):
        """Reads until it is told this, and gives that whole message."""
        while text not in (message := self.socket.recv(4096).decode()):
            pass
        return message
