#!/usr/bin/python3
"""Asks a floating address for an echo each millisecond and notes who answers.

    poll.py ADDRESS FILE

One line a question: its time in nanoseconds of CLOCK_BOOTTIME; and one an answer: the time of its question, its own, and
the answering MAC address. Ends with its standard input.
"""

import select
import socket
import struct
import sys
import time

INTERVAL_NS = 1_000_000
FLUSH_NS = 10_000_000
ICMP_ECHO, ICMP_REPLY = 8, 0


def checksum(data):
    total = sum(struct.unpack(f'!{len(data) // 2}H', data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


def now():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def main(address, path):
    listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    sender.setblocking(False)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
    source = socket.inet_aton(address)
    with open(path, 'w', encoding='ascii') as out:
        due = flushed = now()
        while True:
            if now() - flushed > FLUSH_NS:
                out.flush()
                flushed = now()
            ready, _, _ = select.select([listener, sys.stdin], [], [], max(0, due - now()) / 1e9)
            if sys.stdin in ready:
                return
            if listener in ready:
                frame = listener.recv(2048)
                if frame[26:30] == source and frame[23] == socket.IPPROTO_ICMP and frame[34] == ICMP_REPLY:
                    asked, = struct.unpack('!Q', frame[42:50])
                    out.write(f'{asked} {now()} {frame[6:12].hex(":")}\n')
                continue
            asked = now()
            out.write(f'{asked}\n')
            due = max(due + INTERVAL_NS, asked)
            head = struct.pack('!BBHHHQ', ICMP_ECHO, 0, 0, 1, 1, asked)
            try:
                sender.sendto(head[:2] + struct.pack('!H', checksum(head)) + head[4:], (address, 0))
            except OSError:
                pass  # nobody has it at present, or the queue is full: the next one is due soon


if __name__ == '__main__':
    main(*sys.argv[1:])
