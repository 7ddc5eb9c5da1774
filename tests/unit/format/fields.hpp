#pragma once
#include <string>
#include <troupe/format/record.hpp>

namespace troupe::format::testing {

/// A field of a type without children.
inline field plain(std::string name, field_type type) { return {std::move(name), type, {}}; }
inline field maybe(std::string name, field_type type) {
  return {std::move(name), field_type::optional, {plain("", type)}};
}

}  // namespace troupe::format::testing
