"""As much of D-Bus as it takes to be a service on a bus: messages to bytes and back, and one connection.

A value of a variant is the pair (signature, value); of a(ss) a list of tuples; of a{sv} a list of pairs.
"""

import collections
import os
import socket
import struct

CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
NO_REPLY = 1

# Of the header's fields those that are used here, by their codes.
FIELDS = {1: ('path', 'o'), 2: ('interface', 's'), 3: ('member', 's'), 4: ('error', 's'), 5: ('reply_to', 'u'),
          6: ('destination', 's'), 7: ('sender', 's'), 8: ('signature', 'g')}

NUMBERS = {'y': ('B', 1), 'b': ('I', 4), 'n': ('h', 2), 'q': ('H', 2), 'i': ('i', 4), 'u': ('I', 4), 'x': ('q', 8),
           't': ('Q', 8), 'd': ('d', 8)}

Message = collections.namedtuple('Message', 'kind serial fields body')


def alignment(signature):
    first = signature[0]
    if first in NUMBERS:
        return NUMBERS[first][1]
    return {'s': 4, 'o': 4, 'a': 4, 'g': 1, 'v': 1, '(': 8, '{': 8}[first]


def split_first(signature):
    """The first complete type, and the rest."""
    if signature[0] == 'a':
        first, rest = split_first(signature[1:])
        return 'a' + first, rest
    if signature[0] not in '({':
        return signature[0], signature[1:]
    depth = 0
    for index, letter in enumerate(signature):
        depth += (letter in '({') - (letter in ')}')
        if depth == 0:
            return signature[:index + 1], signature[index + 1:]
    raise ValueError(signature)


def types_of(signature):
    while signature:
        first, signature = split_first(signature)
        yield first


def pack_one(out, signature, value):
    """Appends a value of one type to a bytearray that begins at an aligned place."""
    out.extend(bytes(-len(out) % alignment(signature)))
    first = signature[0]
    if first in NUMBERS:
        out.extend(struct.pack('<' + NUMBERS[first][0], value))
    elif first in 'so':
        data = value.encode()
        out.extend(struct.pack('<I', len(data)) + data + b'\0')
    elif first == 'g':
        out.extend(bytes([len(value)]) + value.encode() + b'\0')
    elif first == 'v':
        pack_one(out, 'g', value[0])
        pack_one(out, *value)
    elif first == 'a':
        at = len(out)
        out.extend(bytes(4))
        out.extend(bytes(-len(out) % alignment(signature[1:])))
        begin = len(out)
        for element in value:
            pack_one(out, signature[1:], element)
        struct.pack_into('<I', out, at, len(out) - begin)
    else:
        for inner, element in zip(types_of(signature[1:-1]), value):
            pack_one(out, inner, element)


def unpack_one(data, at, signature):
    """Returns the value at that place, and where it ends."""
    at += -at % alignment(signature)
    first = signature[0]
    if first in NUMBERS:
        letter, size = NUMBERS[first]
        return struct.unpack_from('<' + letter, data, at)[0], at + size
    if first in 'so':
        size = struct.unpack_from('<I', data, at)[0]
        return data[at + 4:at + 4 + size].decode(), at + size + 5
    if first == 'g':
        return data[at + 1:at + 1 + data[at]].decode(), at + data[at] + 2
    if first == 'v':
        inner, at = unpack_one(data, at, 'g')
        value, at = unpack_one(data, at, inner)
        return (inner, value), at
    if first == 'a':
        size = struct.unpack_from('<I', data, at)[0]
        at += 4
        at += -at % alignment(signature[1:])
        end, values = at + size, []
        while at < end:
            value, at = unpack_one(data, at, signature[1:])
            values.append(value)
        return values, at
    values = []
    for inner in types_of(signature[1:-1]):
        value, at = unpack_one(data, at, inner)
        values.append(value)
    return tuple(values), at


def pack_message(kind, serial, fields, signature='', values=()):
    body = bytearray()
    for one, value in zip(types_of(signature), values):
        pack_one(body, one, value)
    if signature:
        fields = {**fields, 'signature': signature}
    coded = [(code, (type_, fields[name])) for code, (name, type_) in FIELDS.items() if name in fields]
    head = bytearray(struct.pack('<BBBBII', ord('l'), kind, NO_REPLY if kind != CALL else 0, 1, len(body), serial))
    pack_one(head, 'a(yv)', coded)
    return bytes(head) + bytes(-len(head) % 8) + bytes(body)


def message_size(data):
    """Of the message that begins there; None: not known yet."""
    if len(data) < 16:
        return None
    n_body, _, n_fields = struct.unpack_from('<III', data, 4)
    return 16 + n_fields + -n_fields % 8 + n_body


def unpack_message(data):
    serial = struct.unpack_from('<I', data, 8)[0]
    coded, at = unpack_one(data, 12, 'a(yv)')
    fields = {FIELDS[code][0]: value for code, (_, value) in coded if code in FIELDS}
    at += -at % 8
    body = []
    for one in types_of(fields.get('signature', '')):
        value, at = unpack_one(data, at, one)
        body.append(value)
    return Message(data[1], serial, fields, body)


class Connection:
    """Connected, and known by `name`. receive() is one thread's; send() may be any's that sees to it alone."""

    def __init__(self, path, name):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(path)
        self.data = b''
        self.serial = 0
        self.socket.sendall(b'\0AUTH EXTERNAL ' + str(os.getuid()).encode().hex().encode() + b'\r\n')
        answer = b''
        while not answer.endswith(b'\r\n'):
            answer += self.socket.recv(1)
        if not answer.startswith(b'OK '):
            raise OSError(f'the bus says {answer}')
        self.socket.sendall(b'BEGIN\r\n')
        for member, signature, values in (('Hello', '', ()), ('RequestName', 'su', (name, 4))):
            serial = self.send(CALL, {'path': '/org/freedesktop/DBus', 'destination': 'org.freedesktop.DBus',
                                      'interface': 'org.freedesktop.DBus', 'member': member}, signature, values)
            while (message := self.receive()).fields.get('reply_to') != serial:
                pass
            if message.kind != RETURN:
                raise OSError(f'{member}: {message}')
        self.socket.settimeout(None)

    def send(self, kind, fields, signature='', values=()):
        """Returns the serial number."""
        self.serial += 1
        self.socket.sendall(pack_message(kind, self.serial, fields, signature, values))
        return self.serial

    def receive(self):
        """The next message; raises EOFError at the end."""
        while (size := message_size(self.data)) is None or len(self.data) < size:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            self.data += data
        message, self.data = self.data[:size], self.data[size:]
        return unpack_message(message)

    def shutdown(self):
        """Ends it for both sides, and a receive() that waits."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the bus was faster
