"""Judges captures: every frame must be what scapy builds of its fields, with lengths and checksums
computed anew. Arguments: the balancer's MAC address, then files. Says what it saw of the balancer,
one kind a line with its count, and what is bad."""
import sys
from collections import Counter

from scapy.all import (ICMP, IP, TCP, UDP, Ether, IPv6, PcapReader)

COMPUTED = {
    IP: ("len", "chksum"),
    IPv6: ("plen",),
    TCP: ("chksum",),
    UDP: ("len", "chksum"),
    ICMP: ("chksum",),
}



def same(one, other):
    """0 and 0xffff are the same sum; only in UDP does 0 mean something else."""
    def plain(raw):
        frame = Ether(raw)
        layer = frame.payload
        while layer:
            for field in ("chksum", "cksum"):
                if type(layer) is not UDP and layer.fields.get(field) == 0xFFFF:
                    setattr(layer, field, 0)
            layer = layer.payload
        return bytes(frame)

    return one == other or plain(one) == plain(other)


seen = Counter()
for file in sys.argv[2:]:
    for number, packet in enumerate(PcapReader(file), 1):
        raw = bytes(packet.original)
        frame = Ether(raw)
        if IP not in frame and IPv6 not in frame:
            continue
        kinds = []
        layer = frame.payload
        while layer:
            name = type(layer).__name__
            for field in COMPUTED.get(type(layer), ()):
                delattr(layer, field)
            if name.startswith("ICMPv6"):
                del layer.cksum
            if type(layer) in COMPUTED or name.startswith("ICMPv6"):
                kinds.append(name)
            if type(layer) is TCP:
                kinds += [flag for flag in "SFR" if flag in layer.flags]
                kinds += ["TOA" for kind, _ in layer.options if kind == 254]
            if name.startswith("ICMP"):
                # What it quotes is another's.
                break
            layer = layer.payload
        if not same(bytes(frame), raw):
            print(f"bad: {file} frame {number}: {Ether(raw).summary()}")
            print(f"  is  {raw.hex()}\n  not {bytes(frame).hex()}")
        if frame.src == sys.argv[1]:
            seen["/".join(kinds)] += 1
for kinds, count in sorted(seen.items()):
    print(f"seen: {kinds} {count}")
