#pragma once
#include <string>
#include <string_view>
#include <troupe/base/result.hpp>
#include <troupe/base/schema.hpp>

/// Schemas as people write them:
///
///   user:string, at:int64, tags:[string], note:string?, place:{lat:float64, lon:float64}
///
///   FIELD   NAME:TYPE
///   TYPE    boolean, int8 … int64, uint8 … uint64, float32, float64, string; bool, int and float mean boolean, int64
///           and float64; [TYPE] a list; {FIELD, …} a record; TYPE? may be absent
namespace troupe::api {

/// `invalid_argument` with the place (counted from 1) and what was expected there.
result<schema> parse_schema(std::string_view text);

/// The same way back, on one line.
std::string schema_text(const schema& s);
/// «[string]?» of one field.
std::string type_text(const field& f);

}  // namespace troupe::api
