"""Runs a journal of its own, and a program that logs to it: its arguments. Prints the entries.

To be run in a mount namespace of its own, see LogTests.
"""

import glob
import os
import socket
import subprocess
import sys

for folder in ("/run", "/etc/systemd"):
    os.makedirs(folder, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", folder], check=True)
os.makedirs("/run/log/journal")
with open("/etc/systemd/journald.conf", "w", encoding="utf-8") as file:
    file.write("[Journal]\nReadKMsg=no\nAudit=no\nStorage=volatile\n")

notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind("/run/notify")
journal = subprocess.Popen(
    ["/lib/systemd/systemd-journald"], env={"NOTIFY_SOCKET": "/run/notify"}
)
notify.settimeout(60)
while b"READY=1" not in notify.recv(4096):
    pass
try:
    subprocess.run(sys.argv[1:], check=True)
    subprocess.run(["journalctl", "--sync"], check=True)
    entries = subprocess.run(
        ["journalctl", "--output=json", "--no-pager", "SYSLOG_IDENTIFIER=alcoved"]
        + ["--directory=" + folder for folder in glob.glob("/run/log/journal/*")],
        check=True, stdout=subprocess.PIPE,
    )
    sys.stdout.buffer.write(entries.stdout)
finally:
    journal.terminate()
    journal.wait()
