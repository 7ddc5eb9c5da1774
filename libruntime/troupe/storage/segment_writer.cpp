#include <cerrno>
#include <string>
#include <troupe/storage/segment_writer.hpp>
#include <utility>

namespace troupe::storage {

segment_writer::segment_writer(segment_writer&& other) noexcept = default;

segment_writer& segment_writer::operator=(segment_writer&& other) noexcept {
  if (this != &other) {
    discard();
    operations_ = other.operations_;
    directory_ = std::move(other.directory_);
    file_ = std::move(other.file_);
    direct_ = std::move(other.direct_);
    id_ = other.id_;
    builder_ = std::move(other.builder_);
    name_is_durable_ = other.name_is_durable_;
    replaces_ = std::move(other.replaces_);
  }
  return *this;
}

segment_writer::~segment_writer() { discard(); }

void segment_writer::discard() noexcept {
  if (!file_.is_open()) return;
  operations_->unlink(file_.path().c_str());
  file_.close();
  direct_.reset();
}

result<void> segment_writer::check_open() const {
  if (file_.is_open()) return ok();
  return error{errc::failed_precondition, "segment " + to_string(id_) + " was sealed or given up before"};
}

result<void> segment_writer::append(bytes_view payload, std::uint32_t records, const append_info& info) {
  TROUPE_TRY_VOID(check_open());
  if (records == 0 || payload.size() > format::batch_payload_bytes_max)
    return error{errc::invalid_argument, "segment " + to_string(id_) + ": a batch of " + std::to_string(records) +
                                             " records and " + std::to_string(payload.size()) +
                                             " bytes cannot be appended"};
  format::batch_header header;
  header.segment = id_;
  header.first_offset = builder_.next_offset();
  header.count = records;
  header.high_water_mark = info.high_water_mark;
  header.append_time_unix_ms = info.append_time_unix_ms;
  header.producer = info.producer;
  header.producer_sequence = info.producer_sequence;
  char raw[format::batch_header_bytes];
  format::encode_batch_header(header, payload, raw);
  return write_batch(header, raw, payload);
}

result<void> segment_writer::append_encoded(bytes_view batch) {
  TROUPE_TRY_VOID(check_open());
  TROUPE_TRY(const format::batch_header header, format::decode_batch_header(batch, id_));
  const auto payload = batch.substr(format::batch_header_bytes);
  const auto refuse = [&](std::string_view why) {
    return error{errc::corrupted, "segment " + to_string(id_) + ": the batch that came next " + std::string(why)};
  };
  if (payload.size() != header.payload_bytes) return refuse("is not as long as it says");
  if (header.first_offset != builder_.next_offset())
    return refuse("begins with record " + to_string(header.first_offset) + ", not " +
                  to_string(builder_.next_offset()));
  if (!format::batch_crc_fits(batch.data(), payload)) return refuse("does not fit its checksum");
  return write_batch(header, batch.data(), payload);
}

/// `position` is the end of what was written before.
result<void> segment_writer::write(std::span<const bytes_view> parts, std::uint64_t position) {
  return direct_ ? direct_->append(file_, parts) : file_.write(parts, position);
}

result<void> segment_writer::write_batch(const format::batch_header& header, const char* raw_header,
                                         bytes_view payload) {
  if (!header.producer.is_nil() && builder_.producers() >= format::producers_per_segment_max &&
      !builder_.knows(header.producer))
    return error{errc::resource_exhausted, "segment " + to_string(id_) + " has " +
                                               std::to_string(builder_.producers()) +
                                               " producers already; seal it and open the next"};
  const bytes_view parts[] = {{raw_header, format::batch_header_bytes}, payload};
  if (auto written = write(parts, format::segment_header_bytes + builder_.file_bytes()); !written) {
    discard();
    return written;
  }
  builder_.add(header, raw_header, payload);
  return ok();
}

result<void> segment_writer::sync() {
  TROUPE_TRY_VOID(check_open());
  if (direct_) {
    if (auto settled = direct_->settle(file_); !settled) {
      discard();
      return settled;
    }
  }
  file_.sync();
  if (name_is_durable_) return ok();
  auto synced = sync_directory(*operations_, directory_);
  if (!synced) discard();
  name_is_durable_ = synced.has_value();
  return synced;
}

result<format::segment_summary> segment_writer::seal(const std::optional<format::segment_summary>& expected) {
  TROUPE_TRY_VOID(check_open());
  const auto footer = builder_.footer();
  if (expected && footer.summary != *expected) {
    discard();
    return error{errc::corrupted, "segment " + to_string(id_) + " has the digest " + footer.summary.digest.to_string() +
                                      " instead of " + expected->digest.to_string()};
  }
  const auto encoded = format::encode_segment_footer(footer);
  const auto end = format::segment_header_bytes + builder_.file_bytes();
  const bytes_view last[] = {encoded};
  auto written = write(last, end);
  if (written && direct_) written = direct_->settle(file_);
  if (written) written = file_.truncate(end + encoded.size());  // gives back what was reserved beyond
  if (!written) {
    discard();
    return written.error();
  }
  if (!replaces_.empty()) {
    file_.sync();
    if (operations_->rename(file_.path().c_str(), replaces_.c_str()) != 0) {
      const auto why = error::from_errno("rename to", replaces_, errno);
      discard();
      return why;
    }
    name_is_durable_ = false;
  }
  direct_.reset();
  TROUPE_TRY_VOID(sync());
  file_.close();
  return footer.summary;
}

}  // namespace troupe::storage
