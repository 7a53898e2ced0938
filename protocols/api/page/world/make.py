#!/usr/bin/env python3
"""Makes world.bin from a TopoJSON of countries: the outline that the map shows without tiles.

usage: make.py countries-50m.json [TOLERANCE_DEG] > world.bin

The source is Natural Earth (naturalearthdata.com, public domain), as the npm package `world-atlas`
2.0.2 (ISC) has it. Lines are thinned by Douglas and Peucker, which keeps their ends, so that
neighbours still meet. world.bin is read by src/world.js:

    u8 version (1), then varints: arcs, and for each arc its kind (0 coast, 1 border), its points
    and for each point the differences to the one before, in steps of 0.01 degrees, zigzag:
    longitude, latitude; then rings of land, and for each its arcs: index * 2, + 1 where it runs
    backwards.
"""

import json
import sys

STEPS_PER_DEG = 100


def thin(points, tolerance):
    """Douglas and Peucker, without recursion."""
    keep = [False] * len(points)
    keep[0] = keep[-1] = True
    spans = [(0, len(points) - 1)]
    while spans:
        first, last = spans.pop()
        (ax, ay), (bx, by) = points[first], points[last]
        dx, dy = bx - ax, by - ay
        length = (dx * dx + dy * dy) ** 0.5
        far, where = 0.0, None
        for i in range(first + 1, last):
            x, y = points[i]
            if length == 0:
                distance = ((x - ax) ** 2 + (y - ay) ** 2) ** 0.5
            else:
                distance = abs(dx * (y - ay) - dy * (x - ax)) / length
            if distance > far:
                far, where = distance, i
        if far > tolerance:
            keep[where] = True
            spans += [(first, where), (where, last)]
    return [point for point, kept in zip(points, keep) if kept]


def arcs_of(topology, tolerance):
    (sx, sy), (tx, ty) = topology["transform"]["scale"], topology["transform"]["translate"]
    for arc in topology["arcs"]:
        x = y = 0
        points = []
        for dx, dy in arc:
            x, y = x + dx, y + dy
            points.append((x * sx + tx, y * sy + ty))
        steps = []
        for lon, lat in thin(points, tolerance):
            step = (round(lon * STEPS_PER_DEG), round(lat * STEPS_PER_DEG))
            if not steps or steps[-1] != step:
                steps.append(step)
        yield steps


def rings_of(geometry):
    shapes = geometry["arcs"] if geometry["type"] == "MultiPolygon" else [geometry["arcs"]]
    for shape in shapes:
        yield from shape


def extent(arcs, ring):
    points = [point for index in ring for point in arcs[index if index >= 0 else ~index]]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return max(max(xs) - min(xs), max(ys) - min(ys))


def varint(value, out):
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)


def zigzag(value):
    return value * 2 if value >= 0 else -value * 2 - 1


def packed(topology, tolerance):
    arcs = list(arcs_of(topology, tolerance))
    uses = [0] * len(arcs)
    for country in topology["objects"]["countries"]["geometries"]:
        if country.get("arcs"):
            for ring in rings_of(country):
                for index in ring:
                    uses[index if index >= 0 else ~index] += 1
    land = topology["objects"]["land"]["geometries"]
    # Islands of less than some four kilometres are left out.
    rings = [ring for geometry in land for ring in rings_of(geometry) if extent(arcs, ring) >= 4]
    used = {index if index >= 0 else ~index for ring in rings for index in ring}
    used |= {index for index, count in enumerate(uses) if count > 1}
    number = {index: place for place, index in enumerate(sorted(used))}
    out = bytearray([1])
    varint(len(number), out)
    for index in sorted(used):
        varint(1 if uses[index] > 1 else 0, out)
        varint(len(arcs[index]), out)
        x = y = 0
        for lon, lat in arcs[index]:
            varint(zigzag(lon - x), out)
            varint(zigzag(lat - y), out)
            x, y = lon, lat
    varint(len(rings), out)
    for ring in rings:
        varint(len(ring), out)
        for index in ring:
            varint(number[index] * 2 if index >= 0 else number[~index] * 2 + 1, out)
    return bytes(out)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        topology = json.load(file)
    tolerance = float(sys.argv[2]) if len(sys.argv) > 2 else 0.02
    sys.stdout.buffer.write(packed(topology, tolerance))


if __name__ == "__main__":
    main()
