#include <actors/replication/record_split.hpp>
#include <algorithm>
#include <troupe/format/record.hpp>
#include <troupe/format/record_decode.hpp>
#include <troupe/replication/routing.hpp>

namespace troupe::logs {

namespace {

namespace detail = format::detail;

/// Moves `at` behind a value of this type.
bool skip(const field& f, const char*& at, const char* end, int depth) {
  std::uint64_t number = 0;
  bytes_view text;
  const auto hop = [&](std::size_t bytes) {
    if (static_cast<std::size_t>(end - at) < bytes) return false;
    at += bytes;
    return true;
  };
  switch (f.type) {
    case field_type::boolean:
    case field_type::int8:
    case field_type::uint8:
      return hop(1);
    case field_type::float32:
      return hop(4);
    case field_type::float64:
      return hop(8);
    case field_type::string:
      return detail::load_string(at, end, text);
    case field_type::optional: {
      bool present = false;
      if (!detail::load_boolean(at, end, present)) return false;
      return !present || (depth > 0 && !f.children.empty() && skip(f.children[0], at, end, depth - 1));
    }
    case field_type::list:
      if (!detail::load_count(at, end, number) || f.children.empty() || depth == 0) return false;
      for (std::uint64_t i = 0; i < number; ++i)
        if (!skip(f.children[0], at, end, depth - 1)) return false;
      return true;
    case field_type::record:
      if (depth == 0) return false;
      return std::all_of(f.children.begin(), f.children.end(),
                         [&](const field& c) { return skip(c, at, end, depth - 1); });
    default: {
      const char* next = load_varint(at, end, number);
      if (next == nullptr) return false;
      at = next;
      return true;
    }
  }
}

/// One partition gets it all: only to be counted.
result<std::vector<append_part>> as_one(const routing_rule& rule, shared_bytes records) {
  append_part all;
  format::record_reader reader(rule.format, records.view());
  bytes_view record;
  for (;;) {
    TROUPE_TRY(const bool more, reader.next(record));
    if (!more) break;
    ++all.count;
  }
  all.payload = std::move(records);
  return std::vector{std::move(all)};
}

}  // namespace

std::optional<bytes_view> field_bytes(const troupe::schema& s, std::size_t index, bytes_view record) {
  const char* at = record.data();
  const char* const end = at + record.size();
  for (std::size_t i = 0; i < s.fields.size(); ++i) {
    const char* const begin = at;
    if (!skip(s.fields[i], at, end, static_cast<int>(format::schema_depth_max))) return std::nullopt;
    if (i == index) return bytes_view(begin, static_cast<std::size_t>(at - begin));
  }
  return std::nullopt;
}

result<std::vector<append_part>> split_records(const routing_rule& rule, const uuid& producer, std::uint64_t sequence,
                                               shared_bytes records) {
  const auto all = records.view();
  if (all.empty()) return error{errc::invalid_argument, "there are no records to append"};
  if (rule.format == data_format::lines && all.back() != '\n')
    return error{errc::invalid_argument, "the last line does not end with a line break"};
  if (rule.partitions <= 1) return as_one(rule, std::move(records));
  std::optional<std::size_t> key;
  if (!rule.key_field.empty()) {
    const auto& fields = rule.schema.fields;
    const auto at =
        std::find_if(fields.begin(), fields.end(), [&](const field& f) { return f.name == rule.key_field; });
    if (at == fields.end())
      return error{errc::invalid_argument, "the schema has no field " + rule.key_field + ", which is the key"};
    key = static_cast<std::size_t>(at - fields.begin());
  }
  struct gathered {
    bytes payload;
    std::uint32_t count = 0;
  };
  std::vector<gathered> by_partition(rule.partitions);
  format::record_reader reader(rule.format, all);
  bytes_view record;
  std::uint64_t index = 0;
  for (;; ++index) {
    const auto begin = reader.position();
    TROUPE_TRY(const bool more, reader.next(record));
    if (!more) break;
    partition_index p;
    if (key) {
      const auto bytes_of_key = field_bytes(rule.schema, *key, record);
      if (!bytes_of_key)
        return error{errc::invalid_argument, "record " + std::to_string(index) + " does not fit the dataset's schema"};
      p = replication::partition_of_key(*bytes_of_key, rule.partitions);
    } else {
      p = replication::partition_of_place(producer, sequence, index, rule.partitions);
    }
    auto& into = by_partition[p.value];
    into.payload.append(all.substr(begin, reader.position() - begin));
    ++into.count;
  }
  std::vector<append_part> parts;
  for (std::uint32_t p = 0; p < rule.partitions; ++p)
    if (by_partition[p].count != 0)
      parts.push_back({partition_index{p}, by_partition[p].count, shared_bytes(std::move(by_partition[p].payload))});
  return parts;
}

}  // namespace troupe::logs
