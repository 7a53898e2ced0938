// Reads world.bin (world/make.py says what is in it) into lines that a canvas draws.

// Web Mercator (EPSG:3857) of the unit square: x to the east, y to the south, both 0 to 1.
const LATITUDE_MAX = 85.0511287798;
export function project(latitude, longitude) {
  const lat = Math.max(-LATITUDE_MAX, Math.min(LATITUDE_MAX, latitude));
  const sine = Math.sin((lat * Math.PI) / 180);
  return [longitude / 360 + 0.5,
    0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI)];
}
export function unproject(x, y) {
  return [(Math.atan(Math.sinh(Math.PI * (1 - 2 * y))) * 180) / Math.PI, (x - 0.5) * 360];
}

function reader(bytes) {
  let at = 0;
  const unsigned = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error("world.bin ends too soon");
      value |= (byte & 127) << shift;
      if (byte < 128) return value >>> 0;
    }
  };
  return { byte: () => bytes[at++], unsigned,
    signed: () => {
      const value = unsigned();
      return value & 1 ? -((value + 1) >>> 1) : value >>> 1;
    },
    atEnd: () => at === bytes.length };
}

// {arcs: [{border, points: Float64Array of x, y, box}], rings: [{points, box}]}; projected.
export function decodeWorld(bytes) {
  const input = reader(bytes);
  if (input.byte() !== 1) throw new Error("world.bin is of another version");
  const arcs = [];
  for (let left = input.unsigned(); left > 0; --left) {
    const border = input.unsigned() === 1;
    const points = new Float64Array(input.unsigned() * 2);
    let lon = 0;
    let lat = 0;
    for (let i = 0; i < points.length; i += 2) {
      lon += input.signed();
      lat += input.signed();
      [points[i], points[i + 1]] = project(lat / 100, lon / 100);
    }
    arcs.push({ border, points, box: boxOf(points) });
  }
  const rings = [];
  for (let left = input.unsigned(); left > 0; --left) {
    const parts = [];
    for (let arc = input.unsigned(); arc > 0; --arc) {
      const index = input.unsigned();
      const points = arcs[index >> 1].points;
      parts.push(index & 1 ? backwards(points) : points);
    }
    const points = joined(parts);
    rings.push({ points, box: boxOf(points) });
  }
  if (!input.atEnd()) throw new Error("world.bin has more than its outline");
  return { arcs, rings };
}

function backwards(points) {
  const turned = new Float64Array(points.length);
  for (let i = 0; i < points.length; i += 2) {
    turned[i] = points[points.length - 2 - i];
    turned[i + 1] = points[points.length - 1 - i];
  }
  return turned;
}
function joined(parts) {
  const whole = new Float64Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
function boxOf(points) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = 0; i < points.length; i += 2) {
    box[0] = Math.min(box[0], points[i]);
    box[1] = Math.min(box[1], points[i + 1]);
    box[2] = Math.max(box[2], points[i]);
    box[3] = Math.max(box[3], points[i + 1]);
  }
  return box;
}
export function boxesMeet(one, other) {
  return one[0] <= other[2] && one[2] >= other[0] && one[1] <= other[3] && one[3] >= other[1];
}
