#pragma once
#include <string>
#include <troupe/base/bytes.hpp>
#include <troupe/base/schema.hpp>

namespace troupe::sdk {

/// The codec's bytes of a field and of a schema (base/codec.hpp decodes them). Written out here so that a module need
/// not compile the whole codec; tests/unit/sdk/record_test.cpp holds both against each other.
inline void append_field(std::string& out, const field& f) {
  append_varint(out, f.name.size());
  out += f.name;
  out += static_cast<char>(f.type);
  append_varint(out, f.children.size());
  for (const auto& child : f.children) append_field(out, child);
}
inline std::string schema_bytes(const schema& s) {
  std::string out;
  append_varint(out, s.fields.size());
  for (const auto& f : s.fields) append_field(out, f);
  return out;
}

}  // namespace troupe::sdk
