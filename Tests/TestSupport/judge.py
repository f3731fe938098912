"""Makes messages of every type, and says what Google's implementation makes of their bytes.

usage: judge.py SEED ROUNDS INCLUDE FILE...

Each line of the output is a word and its arguments, bytes as hexadecimal digits or `-` for none:
  file NAME DESCRIPTOR        a file's own descriptor, without comments
  method PATH KIND REQUEST RESPONSE
  same TYPE BYTES CANONICAL   bytes of a message, and those of the message that they stand for
  broken TYPE BYTES           bytes that are no message
  doubtful TYPE BYTES         bytes that implementations disagree on
"""

import os
import random
import struct
import sys
import tempfile

import grpc_tools.protoc
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message,
    message_factory,
    unknown_fields,
)
from google.protobuf.descriptor import FieldDescriptor as F

INTEGERS = {
    F.TYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    F.TYPE_SINT32: (-(1 << 31), (1 << 31) - 1),
    F.TYPE_SFIXED32: (-(1 << 31), (1 << 31) - 1),
    F.TYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    F.TYPE_SINT64: (-(1 << 63), (1 << 63) - 1),
    F.TYPE_SFIXED64: (-(1 << 63), (1 << 63) - 1),
    F.TYPE_UINT32: (0, (1 << 32) - 1),
    F.TYPE_FIXED32: (0, (1 << 32) - 1),
    F.TYPE_UINT64: (0, (1 << 64) - 1),
    F.TYPE_FIXED64: (0, (1 << 64) - 1),
}
ALPHABET = ["a", "B", "/", " ", "\0", "\n", "é", "ß", "漢", "🙂", "\U0010ffff", "\u200d", "0"]


def integer(rng, low, high):
    choice = rng.randrange(4)
    if choice == 0:
        return rng.choice([low, high, 0 if low <= 0 else low, 1, 127, 128])
    if choice == 1:
        return rng.randint(max(low, -300), 300)
    bits = rng.randrange(1, 65)
    return min(max(rng.getrandbits(bits) * rng.choice([1, -1]), low), high)


def scalar(rng, field):
    if field.type in INTEGERS:
        return integer(rng, *INTEGERS[field.type])
    if field.type == F.TYPE_BOOL:
        return rng.random() < 0.5
    if field.type == F.TYPE_DOUBLE:
        return rng.choice([0.0, -0.0, 1.5, float("inf"), float("nan"), rng.gauss(0, 1e9)])
    if field.type == F.TYPE_FLOAT:
        value = rng.choice([0.0, -0.0, 1.5, float("-inf"), float("nan"), rng.gauss(0, 1e9)])
        return struct.unpack("<f", struct.pack("<f", value))[0]
    if field.type == F.TYPE_STRING:
        return "".join(rng.choice(ALPHABET) for _ in range(rng.choice([0, 1, 3, 40, 200])))
    if field.type == F.TYPE_BYTES:
        return rng.randbytes(rng.choice([0, 1, 7, 130, 300]))
    if field.type == F.TYPE_ENUM:
        if rng.random() < 0.2:
            return integer(rng, -(1 << 31), (1 << 31) - 1)
        return rng.choice(field.enum_type.values).number
    raise ValueError(field.full_name)


def fill(rng, target, depth=0):
    for field in target.DESCRIPTOR.fields:
        if rng.random() < (0.35 if depth < 3 else 0.7):
            continue
        if field.is_repeated:
            fill_repeated(rng, target, field, depth)
        elif field.type == F.TYPE_MESSAGE:
            inner = getattr(target, field.name)
            inner.SetInParent()
            if depth < 5:
                fill(rng, inner, depth + 1)
        else:
            setattr(target, field.name, scalar(rng, field))
    return target


def fill_repeated(rng, target, field, depth):
    count = rng.choice([0, 1, 2, 20 if depth == 0 and field.type != F.TYPE_MESSAGE else 3])
    values = getattr(target, field.name)
    for _ in range(count):
        if field.type != F.TYPE_MESSAGE:
            values.append(scalar(rng, field))
        elif field.message_type.GetOptions().map_entry:
            key = scalar(rng, field.message_type.fields_by_name["key"])
            value = field.message_type.fields_by_name["value"]
            if value.type == F.TYPE_MESSAGE:
                fill(rng, values[key], depth + 1)
            else:
                values[key] = scalar(rng, value)
        elif depth < 3:
            fill(rng, values.add(), depth + 1)


def is_doubtful(value):
    """Whether it has known fields among the unknown ones, or fields of no number.

    A known field in another encoding is an error to some, an unknown field to others. A map's
    entry with an unknown field in it is unknown as a whole to some.
    """
    for unknown in unknown_fields.UnknownFieldSet(value):
        if unknown.field_number in value.DESCRIPTOR.fields_by_number or not unknown.field_number:
            return True
    for field, content in value.ListFields():
        if field.type != F.TYPE_MESSAGE:
            continue
        if not field.is_repeated:
            content = [content]
        elif field.message_type.GetOptions().map_entry:
            content = content.values()
            if field.message_type.fields_by_name["value"].type != F.TYPE_MESSAGE:
                continue
        if any(is_doubtful(each) for each in content):
            return True
    return False


def varint(data, place):
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, place


def as_varint(value):
    result = bytearray()
    while value >= 0x80:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)


def ordered(descriptor, data):
    """The same message with the entries of each map in the order of their keys.

    What "deterministic" means for maps differs from one of Google's implementations to the next.
    """
    fields = []
    place = 0
    while place < len(data):
        start = place
        tag, place = varint(data, place)
        field = descriptor.fields_by_number[tag >> 3]
        rank = 0
        if tag & 7 == 2:
            length, place = varint(data, place)
            content = data[place : place + length]
            place += length
            if field.type == F.TYPE_MESSAGE:
                inner = ordered(field.message_type, content)
                if field.message_type.GetOptions().map_entry:
                    rank = message_factory.GetMessageClass(field.message_type).FromString(inner).key
                fields.append((tag >> 3, rank, as_varint(tag) + as_varint(len(inner)) + inner))
                continue
        elif tag & 7 == 0:
            place = varint(data, place)[1]
        else:
            place += {1: 8, 5: 4}[tag & 7]
        fields.append((tag >> 3, rank, data[start:place]))
    return b"".join(field[2] for field in sorted(fields, key=lambda field: field[:2]))


def mutated(rng, data):
    data = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(data) + 1)
        choice = rng.randrange(4)
        if choice == 0 and place < len(data):
            data[place] ^= 1 << rng.randrange(8)
        elif choice == 1 and place < len(data):
            data[place] = rng.randrange(256)
        elif choice == 2:
            del data[place:]
        else:
            data[place:place] = rng.randbytes(rng.randrange(1, 4))
    return bytes(data)


def tell(word, *arguments):
    words = [a.hex() or "-" if isinstance(a, bytes) else a for a in arguments]
    print(word, *words)


def tell_message(kind, data):
    name = kind.DESCRIPTOR.full_name
    value = kind()
    try:
        value.ParseFromString(data)
    except message.DecodeError:
        tell("broken", name, data)
        return
    if is_doubtful(value):
        tell("doubtful", name, data)
        return
    value.DiscardUnknownFields()
    written = value.SerializeToString(deterministic=True)
    tell("same", name, data, ordered(kind.DESCRIPTOR, written))


def messages_of(descriptors):
    for each in descriptors:
        if not each.GetOptions().map_entry:
            yield each
            yield from messages_of(each.nested_types)


def load(include, names):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "set")
        arguments = ["protoc", "-I", include, "--include_imports", "--descriptor_set_out=" + path]
        if grpc_tools.protoc.main(arguments + names):
            sys.exit("the definitions are not understood")
        with open(path, "rb") as file:
            return descriptor_pb2.FileDescriptorSet.FromString(file.read()).file


def tell_definitions(pool, file):
    tell("file", file.name, file.SerializeToString(deterministic=True))
    for service in pool.FindFileByName(file.name).services_by_name.values():
        for method in service.methods:
            kind = ["unary", "serverStreaming", "clientStreaming", "bidirectional"][
                method.server_streaming + 2 * method.client_streaming
            ]
            tell(
                "method",
                f"/{service.full_name}/{method.name}",
                kind,
                method.input_type.full_name,
                method.output_type.full_name,
            )


def main():
    rng = random.Random(int(sys.argv[1]))
    rounds = int(sys.argv[2])
    files = load(sys.argv[3], sys.argv[4:])
    pool = descriptor_pool.DescriptorPool()
    for file in files:
        pool.Add(file)
    for file in files:
        tell_definitions(pool, file)
    for file in files:
        found = pool.FindFileByName(file.name).message_types_by_name.values()
        for descriptor in messages_of(found):
            kind = message_factory.GetMessageClass(descriptor)
            tell_message(kind, b"")
            for _ in range(rounds):
                data = fill(rng, kind()).SerializeToString(deterministic=True)
                other = fill(rng, kind()).SerializeToString(deterministic=True)
                tell_message(kind, data)
                tell_message(kind, data + other)
                for _ in range(4):
                    tell_message(kind, mutated(rng, data))


main()
