// WGS-84 to GCJ-02, the shift that maps of China have, for drawing on such tiles. The usual
// approximation; outside of China nothing is shifted.

const RADIUS_M = 6378245;
const ECCENTRICITY = 0.00669342162296594323;

export function inChina(latitude, longitude) {
  return longitude > 72.004 && longitude < 137.8347 && latitude > 0.8293 && latitude < 55.8271;
}

function waves(x) {
  return ((20 * Math.sin(6 * x * Math.PI) + 20 * Math.sin(2 * x * Math.PI)) * 2) / 3;
}
function northShift(x, y) {
  return -100 + 2 * x + 3 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * Math.sqrt(Math.abs(x)) +
    waves(x) +
    ((20 * Math.sin(y * Math.PI) + 40 * Math.sin((y / 3) * Math.PI)) * 2) / 3 +
    ((160 * Math.sin((y / 12) * Math.PI) + 320 * Math.sin((y * Math.PI) / 30)) * 2) / 3;
}
function eastShift(x, y) {
  return 300 + x + 2 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * Math.sqrt(Math.abs(x)) + waves(x) +
    ((20 * Math.sin(x * Math.PI) + 40 * Math.sin((x / 3) * Math.PI)) * 2) / 3 +
    ((150 * Math.sin((x / 12) * Math.PI) + 300 * Math.sin((x / 30) * Math.PI)) * 2) / 3;
}

// [latitude, longitude] in degrees.
export function gcj02(latitude, longitude) {
  if (!inChina(latitude, longitude)) return [latitude, longitude];
  const x = longitude - 105;
  const y = latitude - 35;
  const angle = (latitude / 180) * Math.PI;
  const magic = 1 - ECCENTRICITY * Math.sin(angle) ** 2;
  const root = Math.sqrt(magic);
  const north = (northShift(x, y) * 180) /
    (((RADIUS_M * (1 - ECCENTRICITY)) / (magic * root)) * Math.PI);
  const east = (eastShift(x, y) * 180) / ((RADIUS_M / root) * Math.cos(angle) * Math.PI);
  return [latitude + north, longitude + east];
}

// The other way: where on earth the tiles show what lies at this place of theirs.
export function wgs84(latitude, longitude) {
  let lat = latitude;
  let lon = longitude;
  for (let i = 0; i < 3; ++i) {
    const [a, b] = gcj02(lat, lon);
    lat -= a - latitude;
    lon -= b - longitude;
  }
  return [lat, lon];
}
