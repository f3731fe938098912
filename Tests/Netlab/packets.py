"""Packets as nobody's kernel would send them, and who sees them. Runs within a namespace:

    packets.py send LINK CARD FRAMES    frames to a card's address, as JSON
    packets.py watch MARKER             says at the end of its input which packets with it came
"""
import json
import select
import socket
import struct
import sys


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def datagram(source, to, port, data):
    """A packet of version 4 with a datagram in it."""
    udp = struct.pack(">HHHH", 4242, port, 8 + len(data), 0) + data
    pseudo = socket.inet_aton(source) + socket.inet_aton(to) + struct.pack(">HH", 17, len(udp))
    udp = udp[:6] + struct.pack(">H", checksum(pseudo + udp) or 0xFFFF) + udp[8:]
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0)
    head += socket.inet_aton(source) + socket.inet_aton(to)
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + udp


def card(text):
    return bytes.fromhex(text.replace(":", ""))


def tunnelled(vni, proxy_card, source, to, port, data):
    """What a tunnel's packet carries."""
    frame = card(proxy_card) + b"\2\xac" + socket.inet_aton(source) + b"\x08\0"
    return struct.pack(">II", 0x08000000, vni << 8) + frame + datagram(source, to, port, data)


def address_answer(address, own):
    """Says unasked that an address is that of a card."""
    return struct.pack(">HHBBH", 1, 0x800, 6, 4, 2) + own + socket.inet_aton(address) + \
        own + socket.inet_aton(address)


def send(link, to, frames):
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sender.bind((link, 0))
    own = sender.getsockname()[4]
    for frame in frames:
        kind = 0x800
        if "says" in frame:
            kind, data = 0x806, address_answer(frame["says"], own)
        elif "inner" in frame:
            data = datagram(frame["from"], frame["to"], 4789,
                            tunnelled(*frame["inner"], frame["data"].encode()))
        else:
            data = datagram(frame["from"], frame["to"], frame["port"], frame["data"].encode())
        sent = card(frame.get("as", "")) or own
        sender.send(card(to) + sent + struct.pack(">H", kind) + data)


def watch(marker):
    """Inner packets of tunnels count as well: the marker may be anywhere."""
    listener = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
    print("ready", flush=True)
    seen = []
    while True:
        readable, _, _ = select.select([listener, sys.stdin], [], [])
        if listener in readable:
            data, (link, _, direction, *_) = listener.recvfrom(65536)
            if direction != socket.PACKET_OUTGOING and marker.encode() in data:
                seen.append([link, socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20])])
        elif sys.stdin in readable:
            print(json.dumps(seen), flush=True)
            return


if __name__ == "__main__":
    if sys.argv[1] == "watch":
        watch(sys.argv[2])
    else:
        send(sys.argv[2], sys.argv[3], json.loads(sys.argv[4]))
