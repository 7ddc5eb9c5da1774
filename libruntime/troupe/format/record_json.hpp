#pragma once
#include <cstdint>
#include <memory>
#include <troupe/base/bytes.hpp>
#include <troupe/base/result.hpp>
#include <troupe/base/schema.hpp>

/// The way back of record_text's json: lines of JSON become records. doc/formats/record.md has the rules and examples.
namespace troupe::format {

/// Reads JSON by the schema of one dataset. An object has the schema's fields by their names, in any order; a field
/// that is absent or null is nothing where the schema says optional, and an error elsewhere; a field that the schema
/// does not have is an error, as it would be lost in silence.
///
///   schema user:string, count:uint32?     {"user":"alice","count":3}
///   format bytes                          "aGVsbG8="
///
/// Keeps its buffers from record to record: one a request, one thread at a time.
class record_json {
 public:
  /// `invalid_argument` for a schema that check_schema refuses, and for format lines, whose records are no JSON.
  static result<record_json> make(data_format format, const schema& s);

  record_json(record_json&&) noexcept;
  record_json& operator=(record_json&&) noexcept;
  ~record_json();

  /// Appends one record behind its varint length. `invalid_argument` with the field's path, what was expected and what
  /// was found: «field place.lat: expected a number, found "x"»; `out` is then as before.
  result<void> append(bytes& out, bytes_view json);

  /// Appends every line of a text (the last one may lack its \n; lines without anything are passed over) and returns
  /// how many records there were. An error says in which line, counted from 1; `out` is then as before.
  result<std::uint64_t> append_lines(bytes& out, bytes_view text);

 private:
  struct impl;
  explicit record_json(std::unique_ptr<impl> i);
  std::unique_ptr<impl> impl_;
};

/// Appends what base64 with padding (RFC 4648, section 4) stands for. False, and `out` as before, when it is none.
bool append_from_base64(bytes& out, bytes_view text);

}  // namespace troupe::format
