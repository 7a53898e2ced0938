// GCJ-02, the coordinates of maps in mainland China ("Mars coordinates"), from WGS-84, in which
// devices report. Pure; any thread.
//
// There is no published standard: this is the transformation that is generally known and used. It
// agrees with itself anywhere (no state, no rounding) and with the maps of Chinese providers to a
// metre or two. Going back is only approximate, and not offered.
#pragma once

namespace ringgate {

struct GeoPoint {
  double latitude_deg = 0;
  double longitude_deg = 0;
};

// Whether GCJ-02 differs from WGS-84 there: a rectangle around China (latitude 0.8293 to 55.8271,
// longitude 72.004 to 137.8347), as everybody draws it; parts of its neighbours lie in it.
bool in_gcj02_area(const GeoPoint& wgs84);

// Outside of that area, and for what is no number, the same point. Inside it moves some 100 to 700
// metres.
GeoPoint gcj02_of(const GeoPoint& wgs84);

}  // namespace ringgate
