#pragma once
#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

/// What a field of a record can be. Numbers on disk: append only.
enum class field_type : std::uint8_t {
  boolean,
  int8,
  int16,
  int32,
  int64,
  uint8,
  uint16,
  uint32,
  uint64,
  float32,
  float64,
  string,    ///< any bytes; printed as text
  optional,  ///< one child: the value
  list,      ///< one child: the element
  record,    ///< children: the fields of a nested struct
};
BOOST_DESCRIBE_ENUM(field_type, boolean, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float32, float64,
                    string, optional, list, record)

/// A field and, for optional, list and record, what is in it. `{"words", list, {{"", string, {}}}}`.
struct field {
  std::string name;
  field_type type = field_type::string;
  std::vector<field> children;
  friend bool operator==(const field&, const field&) = default;
};
BOOST_DESCRIBE_STRUCT(field, (), (name, type, children))

/// The fields of a dataset's records, in order. A schema changes by adding optional fields at the end.
struct schema {
  std::vector<field> fields;
  friend bool operator==(const schema&, const schema&) = default;
};
BOOST_DESCRIBE_STRUCT(schema, (), (fields))

/// What the payload of a batch is. Numbers on disk: append only.
enum class data_format : std::uint8_t {
  lines,    ///< text as imported; every record ends with \n, the last one of the batch too
  records,  ///< records by schema, each a varint length and its fields; doc/formats/record.md
  bytes,    ///< each a varint length and so many bytes
};
BOOST_DESCRIBE_ENUM(data_format, lines, records, bytes)

}  // namespace troupe
