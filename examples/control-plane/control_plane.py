#!/usr/bin/env python3
"""A small reference control plane for Alcove's agents: see README.md beside it."""
import argparse
import os
import shlex
import sys
import threading

import grpc

from alcove_api import types
from placement import Placement
from record import Record, state_name
from service import Faults, Plane, serve

COMMANDS = """\
nodes                              the table
sandboxes                          all sandboxes that are known
drain NODE [SECONDS] | undrain NODE
resync NODE                        all sandboxes again
place ID IMAGE COMMAND...          by the sockets of --agent
drop                               ends all sessions
forget                             forgets everything
quit
"""


def mebibytes(count):
    return f"{count / (1 << 20):.0f}"


def table(plane):
    rows = [("NODE", "CONDITION", "CPUS", "MEMORY MiB", "SANDBOXES", "STATES", "LAST EVENT")]
    with plane.record.lock:
        for each in sorted(plane.record.nodes.values(), key=lambda n: n.name):
            reserved, most = each.capacity.reserved, each.capacity.allocatable
            states = " ".join(f"{n} {s}" for s, n in sorted(each.states().items()))
            rows.append((
                each.name, each.condition(),
                f"{reserved.milli_cpus / 1000:g} of {most.milli_cpus / 1000:g}",
                f"{mebibytes(reserved.memory_bytes)} of {mebibytes(most.memory_bytes)}",
                f"{reserved.sandboxes} of {most.sandboxes}", states or "-",
                str(each.last_event)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip()
                     for row in rows)


def sandbox_lines(plane):
    with plane.record.lock:
        return "\n".join(f"{each.name}  {s.id}  {state_name(s.state)}"
                         for each in plane.record.nodes.values()
                         for _, s in sorted(each.sandboxes.items()))


def node_id(plane, name):
    """By the node's name or id."""
    for each in plane.record.nodes.values():
        if name in (each.name, each.node_id):
            return each.node_id
    raise LookupError(f"no node `{name}`")


def perform(plane, placement, words):
    """One line of the operator. Gives what to print."""
    match words:
        case []:
            return ""
        case ["nodes"]:
            return table(plane)
        case ["sandboxes"]:
            return sandbox_lines(plane)
        case ["drain", name]:
            plane.drain(node_id(plane, name))
        case ["drain", name, seconds]:
            plane.drain(node_id(plane, name), float(seconds))
        case ["undrain", name]:
            plane.end_drain(node_id(plane, name))
        case ["resync", name]:
            plane.resync(node_id(plane, name))
        case ["place", sandbox_id, image, *command] if command:
            spec = types.SandboxSpec(image=image, command=command)
            return placement.place(sandbox_id, spec).name
        case ["drop"]:
            plane.drop_all()
        case ["forget"]:
            plane.forget()
        case _:
            return COMMANDS.rstrip()
    return "ordered"


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("socket", help="the Unix socket to serve on")
    parser.add_argument("--state", metavar="FILE", help="keep what is known in this JSON file")
    parser.add_argument("--agent", metavar="NAME=SOCKET", action="append", default=[],
                        help="place sandboxes on this node by its own socket; may be repeated")
    parser.add_argument("--heartbeat", type=float, default=5, metavar="SECONDS")
    parser.add_argument("--watch", type=float, metavar="SECONDS",
                        help="print the table this often")
    parser.add_argument("--events", action="store_true", help="print each event")
    parser.add_argument("--assert", action="store_true", dest="strict",
                        help="end with status 1 at the first breach of the contract")
    faults = parser.add_argument_group("faults, to try an agent")
    faults.add_argument("--seed", type=int, help="of all that is random")
    faults.add_argument("--drop-after", type=float, default=0, metavar="SECONDS",
                        help="end each session after a random time up to this")
    faults.add_argument("--delay-acknowledgements", type=float, default=0, metavar="SECONDS")
    faults.add_argument("--forget", type=float, default=0, metavar="CHANCE",
                        help="0 to 1: forget everything with a dropped session")
    faults.add_argument("--refuse-registers", type=int, default=0, metavar="COUNT")
    faults.add_argument("--unwanted", action="append", default=[], metavar="NAME")
    return parser.parse_args(arguments)


def print_event(record, event):
    print(f"{record.name}  {event.number}  {event.sandbox_id or '-'}  "
          f"{event.WhichOneof('kind')}", flush=True)


def main():
    arguments = parse(sys.argv[1:])
    faults = Faults(arguments.drop_after, arguments.delay_acknowledgements, arguments.forget,
                    arguments.refuse_registers, set(arguments.unwanted))
    plane = Plane(Record(arguments.state), arguments.heartbeat, faults, arguments.seed)
    if arguments.events:
        plane.listeners.append(print_event)
    sockets = dict(each.split("=", 1) for each in arguments.agent)
    placement = Placement(plane, sockets)
    server = serve(plane, os.path.abspath(arguments.socket))
    print(f"serving on {arguments.socket}", flush=True)
    ended = threading.Event()

    def read_commands():
        for line in sys.stdin:
            if line.split() == ["quit"]:
                ended.set()
                return
            try:
                print(perform(plane, placement, shlex.split(line)), flush=True)
            except grpc.RpcError as problem:
                print(f"failed: {problem.code().name}: {problem.details()}", flush=True)
            except Exception as problem:
                print(f"failed: {problem}", flush=True)

    threading.Thread(target=read_commands, daemon=True).start()
    try:
        while not ended.wait(arguments.watch or 0.5):
            if arguments.watch:
                print(table(plane), flush=True)
            if arguments.strict and plane.violations:
                break
    except KeyboardInterrupt:
        pass
    server.stop(1).wait()
    for text in plane.violations:
        print(f"breach of the contract: {text}", file=sys.stderr)
    return 1 if arguments.strict and plane.violations else 0


if __name__ == "__main__":
    sys.exit(main())
