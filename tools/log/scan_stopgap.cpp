// query::Scan over log::Reader, until storage/query brings its own.
#include "storage/log/reader.hpp"
#include "storage/query/scan.hpp"

namespace ringgate::query {

namespace {

class ReaderScan final : public Scan {
 public:
  ReaderScan(std::unique_ptr<log::Reader> reader, const Parts& parts, const Selection& selection)
      : reader_(std::move(reader)), catalogs_(parts.catalogs), selection_(selection) {
    stats_.log_bytes = reader_->bytes_total();
  }
  const log::NodeId& node() const override { return reader_->node(); }
  Result<bool> next(Found& found) override {
    log::Entry entry;
    while (reader_->next(entry)) {
      ++stats_.records_seen;
      if (!selection_.matches(entry.record.view(), catalogs_)) continue;
      ++stats_.records_found;
      found = {entry.stream, entry.record};
      return true;
    }
    stats_.bytes_read = reader_->bytes_done();
    return false;
  }
  const ScanStats& stats() const override { return stats_; }
  const std::vector<std::string>& problems() const override { return reader_->problems(); }
  std::uint64_t bytes_done() const override { return reader_->bytes_done(); }
  std::uint64_t bytes_total() const override { return reader_->bytes_total(); }

 private:
  std::unique_ptr<log::Reader> reader_;
  const event::CatalogSet& catalogs_;
  Selection selection_;
  ScanStats stats_;
};

}  // namespace

Result<std::unique_ptr<Scan>> Scan::open(const Parts& parts, const Selection& selection, OnGone) {
  auto reader = log::Reader::open(parts.sys, parts.data_dir,
                                  {selection.received_from_us, selection.received_to_us});
  if (!reader) return reader.error();
  return std::unique_ptr<Scan>(new ReaderScan(std::move(*reader), parts, selection));
}

}  // namespace ringgate::query
