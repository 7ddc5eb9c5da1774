#pragma once
#include <cstdint>
#include <troupe/base/bytes.hpp>
#include <troupe/base/result.hpp>
#include <troupe/base/schema.hpp>

/// The bytes of records, without the user's types: what stands in a payload of each data_format. doc/formats/record.md
/// is the page, shared with the SDK.
namespace troupe::format {

/// Schemas nest at most so deep: decoding recurses.
inline constexpr std::size_t schema_depth_max = 16;
inline constexpr std::size_t schema_fields_max = 1'000;

/// `invalid_argument` with the field's path when a schema cannot be: wrong number of children, a nested record without
/// fields, a field without a name or a name twice at one level, too deep, too many. Schemas come from modules: check
/// before use.
result<void> check_schema(const schema& s);

/// Signed numbers as varints: 0, -1, 1, -2 … become 0, 1, 2, 3 …
constexpr std::uint64_t zigzag(std::int64_t value) noexcept {
  return (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
}
constexpr std::int64_t unzigzag(std::uint64_t value) noexcept {
  return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
}

/// Cuts a payload into its records. lines: the line without its \n (a last line without one counts too). records and
/// bytes: what follows the varint length. Views live as long as the payload.
class record_reader {
 public:
  record_reader(data_format format, bytes_view payload) noexcept
      : format_(format), at_(payload.data()), begin_(payload.data()), end_(payload.data() + payload.size()) {}

  /// True: `out` is the next record. False: the payload is at its end. `corrupted`: a length goes beyond the payload.
  result<bool> next(bytes_view& out);

  /// Where the next record begins in the payload: what lies before is a whole number of records.
  [[nodiscard]] std::size_t position() const noexcept { return static_cast<std::size_t>(at_ - begin_); }

 private:
  data_format format_;
  const char* at_;
  const char* begin_;
  const char* end_;
};

/// Checks one record (the bytes after its length) against a schema: lengths, ranges, booleans, and that nothing follows
/// the last field. The schema has passed check_schema.
result<void> check_record(const schema& s, bytes_view record);

/// Appends a varint length and the bytes: a record of format bytes, or a record whose fields are encoded already.
void append_record(bytes& out, bytes_view fields);

}  // namespace troupe::format
