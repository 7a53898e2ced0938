#include "storage/query/selection.hpp"

#include <algorithm>
#include <charconv>

namespace ringgate::query {

namespace {

// Whether one of a record's positions is of the wanted time and place.
class Matcher final : public event::RowVisitor {
 public:
  explicit Matcher(const Selection& selection) : selection_(selection) {}
  void position(const event::PositionRow& row) override {
    found |= row.device_time_us >= selection_.device_from_us &&
             row.device_time_us < selection_.device_to_us &&
             (!selection_.area || selection_.area->contains(row.latitude_deg, row.longitude_deg));
  }
  bool found = false;

 private:
  const Selection& selection_;
};

bool take_number(std::string_view& text, double& out) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  return true;
}

}  // namespace

bool Area::contains(double latitude_deg, double longitude_deg) const {
  if (!(latitude_deg >= south_deg && latitude_deg <= north_deg)) return false;
  if (west_deg <= east_deg) return longitude_deg >= west_deg && longitude_deg <= east_deg;
  return longitude_deg >= west_deg || longitude_deg <= east_deg;
}

Result<Area> parse_area(std::string_view text) {
  const Error bad{0, "an area is 'LAT,LON,LAT,LON' in degrees: two opposite corners"};
  double numbers[4] = {};
  for (double& number : numbers) {
    if (&number != numbers) {
      if (text.empty() || text.front() != ',') return bad;
      text.remove_prefix(1);
    }
    if (!take_number(text, number)) return bad;
  }
  if (!text.empty()) return bad;
  const auto [south, north] = std::minmax(numbers[0], numbers[2]);
  if (!(south >= -90 && north <= 90)) return bad;
  for (const double longitude : {numbers[1], numbers[3]}) {
    if (!(longitude >= -180 && longitude <= 180)) return bad;
  }
  return Area{south, numbers[1], north, numbers[3]};
}

bool Selection::matches(const event::RecordView& record, const event::CatalogSet& catalogs) const {
  if (kinds != 0 && (kinds >> static_cast<unsigned>(record.kind) & 1U) == 0) return false;
  if (record.received_us < received_from_us || record.received_us >= received_to_us) return false;
  if (!messages.empty() &&
      std::find(messages.begin(), messages.end(), record.message) == messages.end()) {
    return false;
  }
  if (!duplicates && record.duplicate()) return false;
  if (!devices.empty() && std::none_of(devices.begin(), devices.end(), [&](const DeviceKey& key) {
        return key.ns == record.ns && key.id() == record.device;
      })) {
    return false;
  }
  const event::MessageCatalog* catalog = catalogs.find(record.ns);
  if (!parts && catalog != nullptr && catalog->is_part(record)) return false;
  if (!wants_rows()) return true;
  if (catalog == nullptr) return false;
  Matcher matcher(*this);
  catalog->rows(record, matcher);
  return matcher.found;
}

}  // namespace ringgate::query
