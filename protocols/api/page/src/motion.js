// Vehicles between two reports: each glides from where it is drawn to where it was last heard of,
// so that a map that learns once a second moves on every frame. Pure; times in milliseconds.

// A jump of more than this (of the unit square, some 2 km at the equator) is shown as a jump.
const JUMP = 5e-5;
// Angles go the short way round.
export function turned(from, to, part) {
  const by = ((((to - from) % 360) + 540) % 360) - 180;
  return (from + by * part + 360) % 360;
}

export class Motions {
  constructor() {
    this.things = new Map();
    this.generation = 0;
  }

  // What was heard: {id, x, y, heading, ...}; x and y of the unit square. `over_ms`: when the next
  // is expected.
  heard(item, now, over_ms) {
    const known = this.things.get(item.id);
    if (known === undefined) {
      this.things.set(item.id, { item, fromX: item.x, fromY: item.y, fromHeading: item.heading,
        since: now, over: over_ms, generation: this.generation });
      return;
    }
    known.generation = this.generation;
    const here = this.at(known, now);
    const far = Math.hypot(item.x - here.x, item.y - here.y) > JUMP;
    if (item.x !== known.item.x || item.y !== known.item.y) {
      known.fromX = far ? item.x : here.x;
      known.fromY = far ? item.y : here.y;
      known.fromHeading = far ? item.heading : here.heading;
      known.since = now;
      known.over = over_ms;
    }
    known.item = item;
  }

  // All there is in the area: what is not among `items` has left it.
  replace(items, now, over_ms) {
    ++this.generation;
    for (const item of items) this.heard(item, now, over_ms);
    for (const [id, thing] of this.things) {
      if (thing.generation !== this.generation) this.things.delete(id);
    }
  }
  clear() {
    this.things.clear();
  }
  get size() {
    return this.things.size;
  }

  at(thing, now) {
    const part = Math.min(1, Math.max(0, (now - thing.since) / thing.over));
    const { item } = thing;
    return { x: thing.fromX + (item.x - thing.fromX) * part,
      y: thing.fromY + (item.y - thing.fromY) * part,
      heading: turned(thing.fromHeading, item.heading, part) };
  }
  // Whether anything is still on its way.
  moving(now) {
    for (const thing of this.things.values()) {
      if (now < thing.since + thing.over &&
          (thing.fromX !== thing.item.x || thing.fromY !== thing.item.y)) return true;
    }
    return false;
  }
}
