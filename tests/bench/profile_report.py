#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Turns the counts of profile_plugin.c into tables: who spends a start's instructions, and in which
functions. See profile-boot.

Kernel code of the box lies, as seen by QEMU, at one constant distance from its address; kernel code
elsewhere is the guest's. User code is attributed by its bytes: to the program or library that
holds them at that offset within a page.
"""
import argparse
import bisect
import collections
import re
import subprocess

KERNEL_TEXT = 0xFFFFFFFF80000000
KERNEL_END = 0xFFFFFFFFA0000000
KERNEL_HALF = 1 << 63
PAGE = 4096


class Symbols:
    """Addresses and names of functions, in order."""

    def __init__(self, lines):
        pairs = []
        for line in lines:
            words = line.split()
            if len(words) >= 3 and words[1] in "tTwW" and int(words[0], 16):
                pairs.append((int(words[0], 16), words[2]))
        pairs.sort()
        self.addresses = [p[0] for p in pairs]
        self.names = [p[1] for p in pairs]

    def name(self, address):
        at = bisect.bisect(self.addresses, address) - 1
        return self.names[at] if at >= 0 else hex(address)


class Program:
    """A program or library: its bytes, to find code in, and its functions."""

    def __init__(self, path):
        self.path = path
        self.short = path.rsplit("/", 1)[-1]
        with open(path, "rb") as f:
            self.bytes = f.read()
        run = subprocess.run(["nm", "-n", path], capture_output=True, text=True)
        if not run.stdout:
            run = subprocess.run(["nm", "-nD", path], capture_output=True, text=True)
        self.symbols = Symbols(run.stdout.splitlines())
        self.segments = []
        headers = subprocess.run(["readelf", "-lW", path], capture_output=True, text=True).stdout
        for m in re.finditer(r"LOAD\s+(0x\w+)\s+(0x\w+)\s+0x\w+\s+(0x\w+)", headers):
            self.segments.append(tuple(int(x, 16) for x in m.groups()))

    def find(self, vaddr, code):
        """The function holding this code at this place in a page, or None."""
        at = self.bytes.find(code)
        while at >= 0:
            if at % PAGE == vaddr % PAGE:
                for offset, address, size in self.segments:
                    if offset <= at < offset + size:
                        return self.symbols.name(at - offset + address)
            at = self.bytes.find(code, at + 1)
        return None


def libraries_of(paths):
    found = set()
    for path in paths:
        out = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
        found.update(re.findall(r"(/\S+)", out))
    return sorted(p for p in found if not p.endswith(":"))


class Attribution:
    def __init__(self, arguments):
        with open(arguments.host_symbols) as f:
            self.host = Symbols(f)
        try:
            with open(arguments.guest_symbols) as f:
                self.guest = Symbols(f)
        except FileNotFoundError:
            self.guest = Symbols([])
        paths = arguments.programs
        self.programs = [Program(p) for p in paths + libraries_of(paths)]
        self.distance = None
        self.cache = {}

    def learn(self, blocks):
        """The distance of the box's kernel text: the one by which most kernel blocks that lie on
        functions' beginnings of the box's kernel are off."""
        starts = set(self.host.addresses)
        votes = collections.Counter(
            (haddr - vaddr) % (1 << 64)
            for vaddr, haddr, _, _ in blocks
            if KERNEL_TEXT <= vaddr < KERNEL_END and vaddr in starts
        )
        self.distance = votes.most_common(1)[0][0]

    def of(self, vaddr, haddr, code):
        """(who, function)"""
        key = (vaddr, haddr)
        if key not in self.cache:
            self.cache[key] = self.work_out(vaddr, haddr, code)
        return self.cache[key]

    def work_out(self, vaddr, haddr, code):
        if KERNEL_TEXT <= vaddr < KERNEL_END:
            if (haddr - vaddr) % (1 << 64) == self.distance:
                return "host kernel", self.host.name(vaddr)
            return "guest kernel", self.guest.name(vaddr)
        if vaddr >= 0xFFFFFFFFA0000000:
            return "host kernel (modules)", self.host.name(vaddr)
        if vaddr >= KERNEL_HALF:
            return "kernels, elsewhere", hex(vaddr & ~(PAGE - 1))
        for program in self.programs:
            name = program.find(vaddr, code) if len(code) >= 6 else None
            if name:
                return program.short, name
        if vaddr < 1 << 26:
            return "low addresses (guest before paging, static programs)", hex(vaddr & ~(PAGE - 1))
        return "other programs", hex(vaddr & ~(PAGE - 1))


def read(path):
    blocks = []
    with open(path) as f:
        for line in f:
            words = line.split()
            code = bytes.fromhex(words[3]) if len(words) > 3 else b""
            blocks.append((int(words[0], 16), int(words[1], 16), int(words[2]), code))
    return blocks


def report(title, blocks, attribution, top):
    who = collections.Counter()
    functions = collections.Counter()
    for vaddr, haddr, count, code in blocks:
        owner, function = attribution.of(vaddr, haddr, code)
        who[owner] += count
        functions[owner, function] += count
    total = sum(who.values())
    print(f"\n{title}: {total / 1e6:.1f} million")
    for owner, count in who.most_common():
        print(f"{count / 1e6:10.2f} {100 * count / total:5.1f} %  {owner}")
    print(f"  largest functions")
    for (owner, function), count in functions.most_common(top):
        print(f"{count / 1e6:10.2f} {100 * count / total:5.1f} %  {owner}: {function}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--top", type=int, default=25)
    parser.add_argument("--host-symbols", required=True)
    parser.add_argument("--guest-symbols", required=True)
    parser.add_argument("--programs", nargs="+", default=[])
    parser.add_argument("init")
    parser.add_argument("whole")
    arguments = parser.parse_args()
    attribution = Attribution(arguments)
    whole = read(arguments.whole)
    attribution.learn(whole)
    try:
        until = read(arguments.init)
    except FileNotFoundError:
        report("from fork to end", whole, attribution, arguments.top)
        return
    before = {(b[0], b[1]): b[2] for b in until}
    after = [(v, h, n - before.get((v, h), 0), c) for v, h, n, c in whole]
    report("from fork to init's main", until, attribution, arguments.top)
    report("from init's main to the end", after, attribution, arguments.top)


if __name__ == "__main__":
    main()
